#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch networkpolicy db --type=merge -p '{"spec": {"egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}], "policyTypes": ["Ingress", "Egress"]}}'
