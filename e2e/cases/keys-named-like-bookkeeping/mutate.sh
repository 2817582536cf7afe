#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch configmap odd --type=merge -p '{"data": {"caBundle": "none", "replicas": "3", "resourceVersion": "1", "status": "closed", "managedFields": null}}'
k label deployment odd meta.helm.sh/release-name=x caBundle=x
k patch deployment odd -p '{"spec": {"template": {"metadata": {"labels": {"deployment.kubernetes.io/revision": "1"}}}}}'
