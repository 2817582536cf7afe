#!/bin/bash
set -euo pipefail
cd "$(dirname "$0")"
k() { kubectl -n "$NS" "$@"; }
k patch service api --type=merge -p '{"spec":{"selector":{"app":"maintenance"}}}'
