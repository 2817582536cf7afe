#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
uid=$(kubectl -n "$NS" get configmap owner -o jsonpath='{.metadata.uid}')
k patch configmap settings --type=merge -p '{"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": "'$uid'"}]}}'
