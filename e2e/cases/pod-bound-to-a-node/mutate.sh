#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request post "$core/pods/worker/binding" --agent kube-scheduler/v1.37.2 '{"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "worker"}, "target": {"apiVersion": "v1", "kind": "Node", "name": "'"$NS"'-node"}}'
