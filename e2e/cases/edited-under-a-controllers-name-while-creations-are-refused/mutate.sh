#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request patch "$apps/deployments/api" --manager kube-controller-manager '{"metadata": {"labels": {"frozen": "yes"}}, "spec": {"template": {"spec": {"hostPID": true}}}}'
