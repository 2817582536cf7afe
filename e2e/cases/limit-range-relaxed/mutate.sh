#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch limitrange limits --type=json -p '[{"op": "replace", "path": "/spec/limits/0/max/storage", "value": "1Ti"}]'
