#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k delete configmap flags
k create configmap flags --from-literal=limit=500 --from-literal=motd=
