#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch persistentvolume "$NS-archive" -p '{"spec": {"persistentVolumeReclaimPolicy": "Delete"}}'
