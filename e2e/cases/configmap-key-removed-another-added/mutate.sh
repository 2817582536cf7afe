#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch configmap settings --type=json -p '[{"op": "remove", "path": "/data/page.size"}, {"op": "add", "path": "/data/page.sise", "value": "50"}]'
