#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k apply --server-side --field-manager=deployer -f declared.yaml
filled() { test -n "$(kubectl -n "$NS" get secret ci-token -o 'jsonpath={.data.token}')"; }
until_true filled
