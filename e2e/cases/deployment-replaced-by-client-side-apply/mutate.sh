#!/bin/bash
set -euo pipefail
cd "$(dirname "$0")"
k() { kubectl -n "$NS" "$@"; }
k apply --force-conflicts --server-side --field-manager=other -f declared.yaml; k annotate deployment web deployment.kubernetes.io/revision=7 --overwrite; k label deployment web app.kubernetes.io/managed-by=Helm
