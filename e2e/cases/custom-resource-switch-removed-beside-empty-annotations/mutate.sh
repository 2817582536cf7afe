#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch turbine hill --type=json -p '[{"op": "remove", "path": "/spec/debug"}]'
