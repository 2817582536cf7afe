#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k delete pvc disk --wait=false; kubectl delete persistentvolume "$NS-disk" --wait=false
