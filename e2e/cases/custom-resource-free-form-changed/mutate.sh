#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch bucket media --type=json -p '[{"op": "add", "path": "/spec/policy/public", "value": true}, {"op": "remove", "path": "/spec/policy/cors"}]'
