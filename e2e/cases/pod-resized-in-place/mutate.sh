#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch pod worker --subresource=resize -p '{"spec": {"containers": [{"name": "worker", "resources": {"requests": {"cpu": "150m"}, "limits": {"cpu": "300m"}}}]}}'
