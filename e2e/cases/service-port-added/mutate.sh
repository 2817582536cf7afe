#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch service shop --type=json -p '[{"op": "add", "path": "/spec/ports/-", "value": {"name": "debug", "port": 5005, "targetPort": 5005, "protocol": "TCP"}}]'
