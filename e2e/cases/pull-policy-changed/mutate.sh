#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request patch "$apps/deployments/api" --manager Terraform --type strategic '{"spec": {"template": {"spec": {"containers": [{"name": "api", "imagePullPolicy": "Always"}]}}}}'
