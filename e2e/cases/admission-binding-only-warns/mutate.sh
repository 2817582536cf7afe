#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch validatingadmissionpolicybinding "$NS-replicas" --type=merge -p '{"spec": {"validationActions": ["Warn"]}}'
