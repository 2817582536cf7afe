#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
KUBE_EDITOR="sed -i '0,/^  replicas: 2/s//&\n  minReadySeconds: 30/'" k edit deployment api --field-manager=kube-controller-manager
k patch deployment api --field-manager=kube-controller-manager -p '{"spec": {"template": {"spec": {"hostNetwork": true}}}}'
k label service api scrape=no --field-manager=kube-scheduler
k patch configmap api --field-manager=driftline -p '{"data": {"extra": "1"}}'
k annotate limitrange api example.com/note=lifted --field-manager=kube-apiserver
