#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k create -f - <<END
apiVersion: v1
kind: ResourceQuota
metadata: {name: only-one}
spec: {hard: {count/deployments.apps: "1"}}
END
until_true kubectl -n "$NS" wait --for=jsonpath='{.status.hard}' resourcequota/only-one --timeout=1s
k apply -f declared.yaml
spent() { { kubectl -n "$NS" create deployment another --image=registry.example.com/another:1 --dry-run=server 2>&1 || true; } | grep 'exceeded quota'; }
until_true spent
