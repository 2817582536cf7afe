#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k create configmap passing
uid=$(kubectl -n "$NS" get configmap passing -o jsonpath='{.metadata.uid}')
k patch role mailer --type=merge -p '{"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "passing", "uid": "'$uid'"}]}}'
k delete configmap passing
k wait role/mailer --for=delete --timeout=30s
