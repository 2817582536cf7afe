#!/bin/bash
set -euo pipefail
cd "$(dirname "$0")"
k() { kubectl -n "$NS" "$@"; }
k patch resourcequota team -p '{"spec":{"hard":{"cpu":"20"}}}'
