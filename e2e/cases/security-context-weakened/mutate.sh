#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch deployment cache -p '{"spec": {"template": {"spec": {"securityContext": {"runAsNonRoot": false}, "containers": [{"name": "cache", "securityContext": {"readOnlyRootFilesystem": false}}]}}}}'
