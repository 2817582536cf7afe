#!/bin/bash
set -euo pipefail
cd "$(dirname "$0")"
k() { kubectl -n "$NS" "$@"; }
k patch database orders --type=merge -p '{"spec":{"users":[{"name":"audit","role":"reader"},{"name":"app","role":"writer"}],"zones":["b","a"]}}'
