#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch deployment api --type=strategic -p '{"spec": {"template": {"spec": {"containers": [{"name": "shell", "image": "alpine:3.22"}]}}}}'
k patch deployment api --type=merge -p '{"metadata": {"managedFields": [{}]}}'
