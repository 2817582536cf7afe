#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch deployment dns --type=json -p '[{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "-dns.port=5353"}]'
