#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch apiservice "v1.$NS.example.com" --type=merge -p '{"spec": {"groupPriorityMinimum": 19000, "versionPriority": 100}}'
k label apiservice "v1.$NS.example.com" kube-aggregator.kubernetes.io/automanaged=false
