#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch rolebinding devs --type=json -p '[{"op": "add", "path": "/subjects/-", "value": {"kind": "User", "name": "mallory", "apiGroup": "rbac.authorization.k8s.io"}}]'
