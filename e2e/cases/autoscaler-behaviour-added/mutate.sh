#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch hpa shop --type=merge -p '{"spec": {"behavior": {"scaleDown": {"selectPolicy": "Disabled"}}}}'
