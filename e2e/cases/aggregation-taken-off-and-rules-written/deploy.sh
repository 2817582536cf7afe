#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k apply -f declared.yaml
filled() { kubectl get clusterrole "$NS-ops" -o jsonpath='{.rules[0].resources}' | grep pods; }
until_true filled
