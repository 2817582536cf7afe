#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch lamp desk --type=json -p '[{"op": "remove", "path": "/spec/shade"}, {"op": "replace", "path": "/spec/owner", "value": {"name": "dana"}}]'
