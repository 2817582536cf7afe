#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k delete "clusterrole/$NS-agent" "clusterrolebinding/$NS-agent" "mutatingwebhookconfiguration/$NS-agent" "flowschema/$NS-agent"
