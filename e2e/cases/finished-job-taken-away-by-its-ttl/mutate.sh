#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
started() { kubectl -n "$NS" get pods -l batch.kubernetes.io/job-name=import -o name | grep pod; }
until_true started
for pod in $(kubectl -n "$NS" get pods -l batch.kubernetes.io/job-name=import -o name); do
  k patch "$pod" --subresource=status -p '{"status": {"phase": "Succeeded"}}'
done
k wait job/import --for=delete --timeout=30s
