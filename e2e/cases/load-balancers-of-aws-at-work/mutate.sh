#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request patch "$network/ingresses/shop" --agent controller/v2.13.0 '{"metadata": {"finalizers": ["group.ingress.k8s.aws/web"]}}'
request patch "$core/services/shop" --agent controller/v2.13.0 '{"metadata": {"finalizers": ["service.k8s.aws/resources"]}}'
