#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k apply --server-side --field-manager=deployer -f declared.yaml
asked() { test -n "$(kubectl -n "$NS" get pvc at-once -o 'jsonpath={.metadata.annotations.volume\.kubernetes\.io/storage-provisioner}')"; }
until_true asked
