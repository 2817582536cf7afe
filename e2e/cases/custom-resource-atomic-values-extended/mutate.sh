#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch switch main --type=merge -p '{"spec": {"selector": {"zone": "b"}, "rule": {"comment": "for now"}, "limits": {"cpu": "1", "memory": "1073741824"}}}'
