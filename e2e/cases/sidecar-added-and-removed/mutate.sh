#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch deployment shop -p '{"spec": {"template": {"spec": {"containers": [{"name": "shell", "image": "alpine:3.22"}]}}}}'
k patch deployment shop -p '{"spec": {"template": {"spec": {"containers": [{"$patch": "delete", "name": "shell"}]}}}}'
