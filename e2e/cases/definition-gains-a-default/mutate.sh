#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k apply --server-side --force-conflicts -f newer.yaml
k wait --for=condition=Established -f newer.yaml
filled() { kubectl get --raw "$cases/fences/garden" | grep wood; }
until_true filled
request patch "$cases/fences/garden/status" --agent fence-operator/1.0 '{"status": {"ready": true}}'
