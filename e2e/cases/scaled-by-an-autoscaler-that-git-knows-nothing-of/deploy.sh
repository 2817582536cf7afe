#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k apply -f declared.yaml
k autoscale deployment/shop --min=2 --max=6 --cpu=70%
