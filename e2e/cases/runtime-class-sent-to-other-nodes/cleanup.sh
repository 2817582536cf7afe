#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
kubectl delete runtimeclass "$NS-sandboxed" >/dev/null
