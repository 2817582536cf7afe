#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
kubectl -n "$NS" apply --server-side --field-manager=deployer -f declared.yaml >/dev/null
until_true kubectl -n "$NS" wait --for=jsonpath='{.status.phase}'=Bound persistentvolumeclaim/data --timeout=1s
