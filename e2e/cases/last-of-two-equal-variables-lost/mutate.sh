#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch deployment api --type=json -p '[{"op": "remove", "path": "/spec/template/spec/containers/0/env/2"}]'
