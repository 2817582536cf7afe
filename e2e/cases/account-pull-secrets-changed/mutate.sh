#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch serviceaccount puller --type=merge -p '{"imagePullSecrets": [{"name": "private-registry"}]}'
