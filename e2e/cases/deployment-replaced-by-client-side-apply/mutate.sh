#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k apply --force-conflicts --server-side --field-manager=other -f declared.yaml
k annotate deployment web deployment.kubernetes.io/revision=7 --overwrite
