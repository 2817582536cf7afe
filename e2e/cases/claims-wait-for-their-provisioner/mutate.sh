#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request patch "$core/persistentvolumeclaims/later" --agent kube-scheduler/v1.37.2 '{"metadata": {"annotations": {"volume.kubernetes.io/selected-node": "node-1"}}}'
asked() { test -n "$(kubectl -n "$NS" get pvc later -o 'jsonpath={.metadata.annotations.volume\.kubernetes\.io/storage-provisioner}')"; }
until_true asked
