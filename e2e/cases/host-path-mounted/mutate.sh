#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch deployment cache -p '{"spec": {"template": {"spec": {"volumes": [{"name": "sock", "hostPath": {"path": "/run/containerd"}}], "containers": [{"name": "cache", "volumeMounts": [{"name": "sock", "mountPath": "/host"}]}]}}}}'
