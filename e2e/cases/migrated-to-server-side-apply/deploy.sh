#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k apply -f declared.yaml
k apply --server-side --force-conflicts --field-manager=deployer -f declared.yaml
