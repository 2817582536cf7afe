#!/bin/bash
set -euo pipefail
cd "$(dirname "$0")"
k() { kubectl -n "$NS" "$@"; }
k label serviceaccount runner team-; k annotate serviceaccount runner example.com/owner-; k patch serviceaccount runner -p '{"automountServiceAccountToken":true}'
