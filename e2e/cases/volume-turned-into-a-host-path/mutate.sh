#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch deployment cache --type=json -p '[{"op": "replace", "path": "/spec/template/spec/volumes/0", "value": {"name": "data", "hostPath": {"path": "/var/lib/cache"}}}]'
