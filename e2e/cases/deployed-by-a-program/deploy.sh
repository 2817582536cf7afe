#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request post "$apps/deployments" --agent provisioner/0.3 "$(kubectl -n "$NS" create --dry-run=client -o json -f declared.yaml)"
