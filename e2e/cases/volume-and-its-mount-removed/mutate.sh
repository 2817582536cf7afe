#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch deployment cache --type=json -p '[{"op": "remove", "path": "/spec/template/spec/volumes/1"}, {"op": "remove", "path": "/spec/template/spec/containers/0/volumeMounts/1"}]'
