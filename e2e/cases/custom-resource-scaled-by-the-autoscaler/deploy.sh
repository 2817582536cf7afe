#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k apply --server-side --field-manager=deployer -f declared.yaml
k apply -f autoscaler.yaml
