#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k delete storageclass "$NS-at-once" "$NS-later"
