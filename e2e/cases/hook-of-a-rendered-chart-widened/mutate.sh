#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch clusterrole "$NS-reader" --type=json -p '[{"op": "add", "path": "/rules/0/resources/-", "value": "secrets"}]'
