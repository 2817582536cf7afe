#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request patch "$apps/deployments/api/scale" --agent keda/v2.18 '{"spec": {"replicas": 3}}'
