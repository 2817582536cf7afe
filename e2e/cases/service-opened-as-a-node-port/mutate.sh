#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch service shop -p '{"spec": {"type": "NodePort"}}'
