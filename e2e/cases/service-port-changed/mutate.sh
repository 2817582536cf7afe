#!/bin/bash
set -euo pipefail
cd "$(dirname "$0")"
k() { kubectl -n "$NS" "$@"; }
k patch service api --type=json -p '[{"op":"replace","path":"/spec/ports/1/targetPort","value":9191}]'
