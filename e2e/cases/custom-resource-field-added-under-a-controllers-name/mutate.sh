#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch turbine east --type=merge --field-manager=kube-controller-manager -p '{"spec": {"debug": true}}'
