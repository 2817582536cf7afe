#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request patch "$core/serviceaccounts/builder" --agent kube-controller-manager/v1.37.2 '{"secrets": [{"name": "builder-token-x7k2p"}]}'
