#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
sed -e 's/^  labels: {app: api}/  labels: {app: api, debug: "on"}/' -e 's/^      containers:/      shareProcessNamespace: true\n      containers:/' declared.yaml | k replace -f -
