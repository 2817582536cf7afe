#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request edit "$apps/deployments/shop" --agent kubectl-edit/v1.37.2 'o["spec"]["template"]["spec"]["containers"][0]["env"][1] = {"name": "WORKERS", "valueFrom": {"configMapKeyRef": {"name": "tuning", "key": "workers"}}}'
