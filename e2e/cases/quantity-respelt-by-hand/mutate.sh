#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch deployment api -p '{"spec": {"template": {"spec": {"containers": [{"name": "api", "resources": {"requests": {"cpu": "0.1", "memory": "128Mi"}}}]}}}}'
