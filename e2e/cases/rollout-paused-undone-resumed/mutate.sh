#!/bin/bash
set -euo pipefail
cd "$(dirname "$0")"
k() { kubectl -n "$NS" "$@"; }
k rollout pause deployment/web; k rollout resume deployment/web; k rollout restart deployment/web
