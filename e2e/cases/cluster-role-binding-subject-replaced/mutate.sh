#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch clusterrolebinding "$NS-auditors" --type=json -p '[{"op": "replace", "path": "/subjects/0/name", "value": "system:authenticated"}]'
