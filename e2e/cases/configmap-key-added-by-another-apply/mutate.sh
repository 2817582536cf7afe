#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
printf '{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {motd: hello}}' | k apply --server-side --field-manager=alice -f -
