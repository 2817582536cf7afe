#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch role deployer --type=json -p '[{"op": "add", "path": "/rules/-", "value": {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}}]'
