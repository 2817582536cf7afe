#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch daemonset agent --type=merge -p '{"spec": {"template": {"spec": {"nodeSelector": {"pool": "canary"}, "tolerations": [{"key": "dedicated", "operator": "Exists"}]}}}}'
