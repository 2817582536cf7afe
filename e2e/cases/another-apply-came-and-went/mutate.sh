#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
apply() { k apply --server-side --field-manager=platform -f -; }
base='apiVersion: apps/v1, kind: Deployment'
printf '{%s, metadata: {name: api, labels: {team: platform}}, spec: {replicas: 2, template: {spec: {nodeSelector: {disk: ssd}, containers: [{name: api, image: "registry.example.com/api:5.2", env: [{name: MODE, value: fast}, {name: TRACE, value: all}], ports: [{containerPort: 9000}]}]}}}}' "$base" | apply
printf '{%s, metadata: {name: api}, spec: {template: {spec: {containers: [{name: api, image: "registry.example.com/api:5.2"}]}}}}' "$base" | apply
