#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request edit "$cases/buckets/media" --agent okhttp/4.12.0 '
for name in ("grants", "tags"): o["spec"][name].reverse()
'
