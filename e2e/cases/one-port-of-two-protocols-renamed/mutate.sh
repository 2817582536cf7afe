#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch deployment dns --type=json -p '[{"op": "test", "path": "/spec/template/spec/containers/0/ports/1/protocol", "value": "TCP"}, {"op": "replace", "path": "/spec/template/spec/containers/0/ports/1/name", "value": "zone-xfer"}]'
