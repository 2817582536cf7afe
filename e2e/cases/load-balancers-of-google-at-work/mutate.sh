#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request patch "$network/ingresses/shop" --agent glbc/v1.35.0 '{"metadata": {"finalizers": ["networking.gke.io/ingress-finalizer-V2"], "annotations": {"ingress.kubernetes.io/backends": "{\"k8s1-shop\":\"HEALTHY\"}", "ingress.kubernetes.io/url-map": "k8s2-um-shop"}}}'
request patch "$core/services/shop" --agent glbc/v1.35.0 '{"metadata": {"annotations": {"cloud.google.com/neg-status": "{\"network_endpoint_groups\":{\"80\":\"k8s1-shop\"},\"zones\":[\"europe-west1-b\"]}"}}}'
