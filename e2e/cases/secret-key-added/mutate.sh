#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch secret db -p '{"data": {"backdoor": "b3Blbg=="}}'
