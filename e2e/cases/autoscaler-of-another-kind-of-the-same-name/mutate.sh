#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request patch "$apps/statefulsets/api/scale" --agent kube-controller-manager/v1.37.2 '{"spec": {"replicas": 4}}'
k scale deployment api --replicas=4
