#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
kubectl delete persistentvolume "$NS-disk" --wait=false >/dev/null
