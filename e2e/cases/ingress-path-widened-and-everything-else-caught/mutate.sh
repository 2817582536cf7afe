#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request edit "$network/ingresses/shop" --agent 'Mozilla/5.0 (X11; Linux x86_64)' '
o["spec"]["rules"][0]["http"]["paths"][0]["pathType"] = "Prefix"
o["spec"]["defaultBackend"] = {"service": {"name": "catch-all", "port": {"number": 80}}}
'
