#!/bin/bash
set -euo pipefail
cd "$(dirname "$0")"
k() { kubectl -n "$NS" "$@"; }
k patch cronjob report -p '{"spec":{"suspend":true}}'
