#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch deployment cache --type=json -p '[{"op": "replace", "path": "/spec/strategy", "value": {"type": "Recreate"}}]'
