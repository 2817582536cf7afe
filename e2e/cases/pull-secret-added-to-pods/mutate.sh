#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch deployment api --type=strategic -p '{"spec": {"template": {"spec": {"imagePullSecrets": [{"name": "mirror"}]}}}}'
