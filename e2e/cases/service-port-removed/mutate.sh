#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch service shop --type=json -p '[{"op": "test", "path": "/spec/ports/1/name", "value": "quic"}, {"op": "remove", "path": "/spec/ports/1"}]'
