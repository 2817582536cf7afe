#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch turbine east --type=merge -p '{"metadata": {"managedFields": [{}]}, "spec": {"debug": true, "mode": "fast"}}'
k patch turbine east --type=merge -p '{"metadata": {"managedFields": [{}]}}'
