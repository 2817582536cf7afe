#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
until_true kubectl -n "$NS" get serviceaccount default
printf '{apiVersion: v1, kind: LimitRange, metadata: {name: defaults}, spec: {limits: [{type: Container, default: {cpu: 500m}, defaultRequest: {cpu: 100m}}]}}' | k apply -f -
ranged() { kubectl -n "$NS" create -f declared.yaml --dry-run=server -o yaml | grep limit-ranger; }
until_true ranged
k apply -f declared.yaml
