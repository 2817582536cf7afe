#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request edit "$apps/deployments/lists" --agent okhttp/4.12.0 '
pod = o["spec"]["template"]["spec"]
for name in ("env", "ports", "volumeMounts"): pod["containers"][0][name].reverse()
for name in ("containers", "volumes", "imagePullSecrets"): pod[name].reverse()
'
