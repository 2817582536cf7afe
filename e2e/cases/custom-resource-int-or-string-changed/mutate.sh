#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch bucket media --type=json -p '[{"op": "replace", "path": "/spec/quota", "value": 500}, {"op": "add", "path": "/spec/steps/-", "value": {"run": "publish"}}]'
