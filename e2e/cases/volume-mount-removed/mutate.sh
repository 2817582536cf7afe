#!/bin/bash
set -euo pipefail
cd "$(dirname "$0")"
k() { kubectl -n "$NS" "$@"; }
k patch deployment db --type=json -p '[{"op":"remove","path":"/spec/template/spec/containers/0/volumeMounts/1"}]'
