#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k label clusterrole "$NS-nodes" rbac.authorization.k8s.io/aggregate-to-admin=true --field-manager=kube-controller-manager
