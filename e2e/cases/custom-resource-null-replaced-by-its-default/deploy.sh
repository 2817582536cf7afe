#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k create -f declared.yaml
