#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request edit "$apps/deployments/dns" --agent okhttp/4.12.0 'o["spec"]["template"]["spec"]["containers"][0]["args"].reverse()'
