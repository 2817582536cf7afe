#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch ingress shop --type=json -p '[{"op": "remove", "path": "/spec/tls"}]'
