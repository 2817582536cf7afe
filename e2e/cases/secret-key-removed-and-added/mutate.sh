#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch secret db --type=json -p '[{"op": "move", "from": "/data/username", "path": "/data/user"}]'
