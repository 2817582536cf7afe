#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k label clusterrole "$NS-metrics" rbac.authorization.k8s.io/aggregate-to-edit=true
