#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch deployment cache -p '{"spec": {"template": {"spec": {"containers": [{"name": "cache", "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]}}}}'
