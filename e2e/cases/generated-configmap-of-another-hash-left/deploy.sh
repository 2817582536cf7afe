#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
sed 's/7b2kd9fm5h/c4t8gm2k6d/' declared.yaml | k apply -f -
k apply -f declared.yaml
