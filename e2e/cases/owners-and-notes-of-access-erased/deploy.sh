#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k apply -f declared.yaml
for o in serviceaccount/agent "clusterrole/$NS-agent" networkpolicy/agent "mutatingwebhookconfiguration/$NS-agent" turbine/agent; do
  k patch "$o" --type=merge -p '{"metadata": {"managedFields": [{}]}}'
done
