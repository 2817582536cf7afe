#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
deploy helm3
for object in deployment/shop service/shop secret/db configmap/settings; do
  k label "$object" --field-manager=helm-controller helm.toolkit.fluxcd.io/name=shop helm.toolkit.fluxcd.io/namespace=flux-system
done
