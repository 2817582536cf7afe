#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
in_force() { kubectl -n "$NS" create -f declared.yaml --dry-run=server -o yaml | grep cost-center; }
until_true in_force
deploy helm3
