#!/bin/bash
set -euo pipefail
kubectl -n "$NS" patch role reader --type=json -p '[{"op":"add","path":"/rules/0/verbs/-","value":"delete"}]'
