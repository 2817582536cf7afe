#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
sed -e 's/2\.14\.0/2.13.0/' -e 's/WORKERS/THREADS/' -e 's/^  replicas: 2/  replicas: 2\n  minReadySeconds: 5/' declared.yaml | k apply -f -
k apply -f declared.yaml
