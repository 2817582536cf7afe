#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
printf '{apiVersion: apps/v1, kind: Deployment, metadata: {name: api}, spec: {replicas: 1, revisionHistoryLimit: 10}}' | k apply --server-side --field-manager=sizer -f -
printf '{apiVersion: v1, kind: Service, metadata: {name: shop}, spec: {sessionAffinity: None, type: ClusterIP}}' | k apply --server-side --field-manager=router -f -
