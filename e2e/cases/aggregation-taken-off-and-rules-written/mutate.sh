#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch clusterrole "$NS-ops" --type=json -p '[{"op": "remove", "path": "/aggregationRule"}, {"op": "replace", "path": "/rules", "value": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}]'
