#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k replace -f declared.yaml
