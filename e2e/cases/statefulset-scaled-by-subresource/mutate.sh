#!/bin/bash
set -euo pipefail
cd "$(dirname "$0")"
k() { kubectl -n "$NS" "$@"; }
k patch statefulset queue --subresource=scale --type=merge -p '{"spec":{"replicas":0}}'
