#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request edit "$apps/deployments/shop" --agent 'Mozilla/5.0 (Macintosh) Safari/605.1.15' 'o["spec"]["template"]["spec"]["containers"][0]["env"].insert(0, {"name": "NODE_OPTIONS", "value": "--inspect"})'
