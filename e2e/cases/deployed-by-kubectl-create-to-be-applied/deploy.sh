#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k create --save-config -f declared.yaml
