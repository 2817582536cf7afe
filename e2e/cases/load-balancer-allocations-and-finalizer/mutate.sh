#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request patch "$core/services/edge" --agent cloud-controller-manager/v1.37.2 '{"metadata": {"finalizers": ["service.kubernetes.io/load-balancer-cleanup"]}}'
request patch "$core/services/edge/status" --agent cloud-controller-manager/v1.37.2 '{"status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.10"}]}}}'
