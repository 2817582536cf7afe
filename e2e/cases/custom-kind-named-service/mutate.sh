#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch services.cases.example.com hello --type=json -p '[{"op": "add", "path": "/spec/clusterIP", "value": "10.0.0.1"}, {"op": "add", "path": "/spec/externalTrafficPolicy", "value": "Cluster"}, {"op": "add", "path": "/spec/ports/0/nodePort", "value": 30080}]'
