#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
kubectl delete priorityclass "$NS-low" >/dev/null
