#!/bin/bash
set -euo pipefail
cd "$(dirname "$0")"
k() { kubectl -n "$NS" "$@"; }
k patch networkpolicy api --type=json -p '[{"op":"add","path":"/spec/ingress/-","value":{}}]'
