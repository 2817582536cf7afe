#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch pdb api --type=json -p '[{"op": "move", "from": "/spec/minAvailable", "path": "/spec/maxUnavailable"}]'
k patch pdb store --type=merge -p '{"spec": {"minAvailable": 50, "unhealthyPodEvictionPolicy": "AlwaysAllow"}}'
