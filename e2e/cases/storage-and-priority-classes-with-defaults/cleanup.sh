#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k delete storageclass "$NS-fast"
k delete priorityclass "$NS-web"
