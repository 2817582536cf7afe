#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch ingress shop --type=json -p '[{"op": "replace", "path": "/spec/rules/0/host", "value": "beta.example.com"}]'
