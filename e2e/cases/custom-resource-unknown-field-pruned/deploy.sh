#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k create --validate=false -f declared.yaml
