#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k delete service shop
k create -f - <<'YAML'
apiVersion: v1
kind: Service
metadata: {name: shop}
spec:
  clusterIP: None
  selector: {app: shop}
  ports: [{name: http, port: 80, targetPort: 8080}]
YAML
