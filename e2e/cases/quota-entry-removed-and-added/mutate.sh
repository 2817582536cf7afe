#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch resourcequota team --type=json -p '[{"op": "remove", "path": "/spec/hard/requests.cpu"}, {"op": "add", "path": "/spec/hard/services.loadbalancers", "value": "0"}]'
