#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
KUBE_EDITOR="sed -i -e s/api:5.2/api:5.3-rc/ -e '0,/^  replicas: 2/s//  replicas: 5\n  minReadySeconds: 20/'" k edit deployment api
k set env deployment/api TRACE=all MODE=slow
k apply -f declared.yaml
