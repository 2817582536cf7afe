#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request edit "$apps/deployments/shop" --agent 'Mozilla/5.0 (X11; Linux x86_64) Firefox/146.0' 'o["spec"]["template"]["spec"]["containers"][0]["image"] = "registry.example.com/shop:latest"'
