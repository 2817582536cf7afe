#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k delete networkpolicy cache
k create -f memory.yaml
