#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
in_force() { kubectl -n "$NS" create -f declared.yaml --dry-run=server -o yaml | grep registry.example.com/mesh; }
until_true in_force
k apply -f declared.yaml
