#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k apply --server-side --field-manager=deployer -f - <<END
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, labels: {app: api}}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec:
      containers:
      - name: api
        image: registry.example.com/api:5.2
        env: [{name: MODE, value: fast}]
END
