#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k apply --server-side --force-conflicts -f newer.yaml
forgotten() { ! kubectl get --raw "$cases/ladders/long" | grep '"legacy":true,\|"legacy":true}'; }
until_true forgotten
request patch "$cases/ladders/long/status" --agent ladder-operator/1.0 '{"status": {"ready": true}}'
