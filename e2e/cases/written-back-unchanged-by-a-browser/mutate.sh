#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request edit "$apps/deployments/shop" --agent 'Mozilla/5.0 (X11)' 'pass'
