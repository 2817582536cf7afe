#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch deployment shop -p '{"spec": {"template": {"spec": {"containers": [{"name": "shop", "ports": [{"name": "inspect", "containerPort": 9229, "protocol": "TCP"}]}]}}}}'
