#!/bin/bash
set -euo pipefail
cd "$(dirname "$0")"
k() { kubectl -n "$NS" "$@"; }
k scale deployment/web --replicas=0; k scale deployment/web --replicas=2
