#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k delete pod worker --grace-period=0 --force --ignore-not-found
kubectl delete node "$NS-node" >/dev/null
