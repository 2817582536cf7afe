#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch statefulset queue -p '{"spec": {"template": {"spec": {"containers": [{"name": "queue", "livenessProbe": {"failureThreshold": 100, "httpGet": {"port": 15672}}}]}}}}'
