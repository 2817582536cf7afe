#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request patch "$network/ingresses/shop/status" --agent nginx-ingress/v1.14 '{"status": {"loadBalancer": {"ingress": [{"hostname": "lb.example.com"}]}}}'
observed() { kubectl -n "$NS" get pdb shop -o jsonpath='{.status.observedGeneration}' | grep 1; }
until_true observed
