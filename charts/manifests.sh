#!/bin/sh
# Prints the chart as plain manifests for `kubectl apply`: its own namespace first, custom resources and all else after it. Arguments are
# those of `helm template`, such as --set image.repository=…
set -eu
chart=$(cd "$(dirname "$0")/driftline" && pwd)
cat <<'END'
# Driftline as plain manifests, made of its chart:
#   kubectl apply --server-side -f driftline.yaml
apiVersion: v1
kind: Namespace
metadata:
  name: driftline-system
  labels:
    pod-security.kubernetes.io/enforce: restricted
END
# Labels and annotations by which Helm knows its own are not true here.
"${HELM:-helm}" template driftline "$chart" --skip-tests --namespace driftline-system "$@" \
    | sed -e '/^ *helm\.sh\/chart: /d' -e '/^ *app\.kubernetes\.io\/managed-by: Helm$/d' \
        -e '/^  annotations:$/{N;/helm\.sh\/resource-policy: keep$/d;}' -e '/^# Kept when the release goes: /d'
