#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch networkpolicy db --type=json -p '[{"op": "add", "path": "/spec/ingress/-", "value": {"from": [{"ipBlock": {"cidr": "198.51.100.9/32"}}]}}]'
