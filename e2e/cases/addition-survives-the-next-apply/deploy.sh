#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k apply -f declared.yaml
