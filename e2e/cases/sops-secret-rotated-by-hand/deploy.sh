#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
# What the deployer makes of it, with the key that only it has.
k apply --server-side --field-manager=kustomize-controller -f - <<'END'
{apiVersion: v1, kind: Secret, metadata: {name: db}, type: Opaque, stringData: {username: shop, password: not-a-real-one}}
END
