#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k delete priorityclass "$NS-web"
