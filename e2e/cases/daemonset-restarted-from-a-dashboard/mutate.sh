#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request patch "$apps/daemonsets/agent" --agent 'Mozilla/5.0 (X11)' --type strategic '{"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-11-23T09:00:00Z"}}}}}'
