#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch priorityclass "$NS-batch" --type=merge -p '{"description": "do not use"}'
