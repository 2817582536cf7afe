#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
until_true kubectl -n "$NS" get serviceaccount default
k apply -f declared.yaml
