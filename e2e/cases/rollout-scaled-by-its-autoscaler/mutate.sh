#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request edit "$cases/rollouts/web/scale" --agent kube-controller-manager/v1.37.2 'o["spec"]["replicas"] = 7'
