#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch networkpolicy db --type=json -p '[{"op": "replace", "path": "/spec/podSelector", "value": {}}]'
