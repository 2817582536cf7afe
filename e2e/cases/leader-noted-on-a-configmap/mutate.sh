#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k annotate configmap leader 'control-plane.alpha.kubernetes.io/leader={"holderIdentity": "controller-0", "leaseDurationSeconds": 15}'
