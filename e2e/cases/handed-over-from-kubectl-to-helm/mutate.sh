#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
for object in configmap/settings service/shop; do
  k label "$object" --field-manager=helm app.kubernetes.io/managed-by=Helm
  k annotate "$object" --field-manager=helm meta.helm.sh/release-name=shop meta.helm.sh/release-namespace="$NS"
done
