#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch bucket media --type=json -p '[{"op": "add", "path": "/spec/grants/-", "value": {"user": "mallory", "access": "write"}}, {"op": "add", "path": "/spec/tags/-", "value": "leak"}]'
