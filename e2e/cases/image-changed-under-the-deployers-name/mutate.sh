#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch deployment shop --field-manager=helm --type=json -p '[{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "registry.example.com/shop:debug"}]'
