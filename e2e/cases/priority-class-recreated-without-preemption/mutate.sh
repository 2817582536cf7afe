#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k delete priorityclass "$NS-web"
k create priorityclass "$NS-web" --value=5000 --preemption-policy=Never
