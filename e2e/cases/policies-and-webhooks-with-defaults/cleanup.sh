#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k delete validatingadmissionpolicy "$NS-replicas"
k delete validatingwebhookconfiguration "$NS-guard"
