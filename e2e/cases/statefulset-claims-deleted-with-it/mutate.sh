#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch statefulset db -p '{"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Delete", "whenScaled": "Retain"}}}'
