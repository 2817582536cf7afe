#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request patch "/apis/coordination.k8s.io/v1/namespaces/$NS/leases/primary" --manager kube-controller-manager    '{"metadata": {"labels": {"frozen": "yes"}}, "spec": {"leaseDurationSeconds": 3600, "holderIdentity": "store-1"}}'
