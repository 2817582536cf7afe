#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k apply -f declared.yaml
kubectl -n "$NS" wait pvc/disk --for=jsonpath='{.status.phase}'=Bound --timeout=30s
