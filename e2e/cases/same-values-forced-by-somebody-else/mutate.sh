#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k apply --server-side --force-conflicts --field-manager=alice -f declared.yaml
