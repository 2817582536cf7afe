#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
cat declared.yaml - <<'X' | k apply --server-side --field-manager=deployer -f -
      - name: shell
        image: alpine:3.22
X
