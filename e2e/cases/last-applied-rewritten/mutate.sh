#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
sed 's/2\.14\.0/9.9.9/' declared.yaml > other.yaml
k apply set-last-applied -f other.yaml
