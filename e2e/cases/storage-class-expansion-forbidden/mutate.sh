#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch storageclass "$NS-fast" --type=merge -p '{"allowVolumeExpansion": false}'
