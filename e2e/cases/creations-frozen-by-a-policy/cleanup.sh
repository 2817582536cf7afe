#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
kubectl delete validatingadmissionpolicybinding "$NS-freeze" >/dev/null
kubectl delete validatingadmissionpolicy "$NS-freeze" >/dev/null
