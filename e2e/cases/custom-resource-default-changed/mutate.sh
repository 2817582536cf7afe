#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch bucket media --type=json -p '[{"op": "replace", "path": "/spec/region", "value": "us"}, {"op": "replace", "path": "/spec/versioning", "value": true}, {"op": "replace", "path": "/spec/grants/0/access", "value": "write"}]'
