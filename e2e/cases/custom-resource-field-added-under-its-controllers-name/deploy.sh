#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k apply --server-side --field-manager=deployer -f declared.yaml
request patch "$cases/buckets/media/status" --agent bucket-operator/1.0 '{"status": {"phase": "Ready", "objects": 12}}'
