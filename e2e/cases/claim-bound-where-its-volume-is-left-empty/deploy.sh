#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k apply -f declared.yaml
until_true kubectl -n "$NS" wait --for=jsonpath='{.status.phase}'=Bound persistentvolumeclaim/data --timeout=1s
