#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch deployment shop --type=json -p '[{"op": "remove", "path": "/spec/template/spec/containers/0/resources/limits"}]'
