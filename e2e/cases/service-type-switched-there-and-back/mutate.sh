#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch service shop -p '{"spec": {"type": "NodePort"}}'
k patch service shop --type=json -p '[{"op": "replace", "path": "/spec/type", "value": "ClusterIP"}]'
