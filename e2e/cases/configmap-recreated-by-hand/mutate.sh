#!/bin/bash
set -euo pipefail
cd "$(dirname "$0")"
k() { kubectl -n "$NS" "$@"; }
k delete configmap flags; k create configmap flags --from-literal=limit=500 --from-literal=motd=
