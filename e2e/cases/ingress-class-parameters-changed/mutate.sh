#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch ingressclass "$NS-edge" --type=merge -p '{"spec": {"parameters": {"name": "edge-insecure"}}}'
