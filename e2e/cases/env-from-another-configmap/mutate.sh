#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch deployment api --type=json -p '[{"op": "replace", "path": "/spec/template/spec/containers/0/envFrom/0/configMapRef/name", "value": "api-staging"}]'
