#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k delete storageclass "$NS-fast"
sed -e 's/ssd/hdd/' -e '$ a reclaimPolicy: Retain' declared.yaml | k create -f -
