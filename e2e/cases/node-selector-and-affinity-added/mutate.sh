#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch deployment api --type=strategic -p '{"spec": {"template": {"spec": {"nodeSelector": {"disk": "ssd"}, "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "kubernetes.io/hostname"}]}}}}}}'
