#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch blueprint small --type=json -p '[{"op": "replace", "path": "/spec/template/kind", "value": "Secret"}, {"op": "replace", "path": "/spec/template/data/mode", "value": "fast"},
  {"op": "add", "path": "/spec/template/status", "value": {"phase": "Done"}}, {"op": "add", "path": "/spec/template/metadata/generation", "value": 9}, {"op": "remove", "path": "/spec/template/metadata/labels"}]'
