#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
for o in serviceaccount/agent "clusterrole/$NS-agent" "clusterrolebinding/$NS-agent" networkpolicy/agent "mutatingwebhookconfiguration/$NS-agent" turbine/agent "flowschema/$NS-agent"; do
  k annotate "$o" kubectl.kubernetes.io/last-applied-configuration-
  k patch "$o" --type=merge -p '{"metadata": {"managedFields": [{}]}}'
done
