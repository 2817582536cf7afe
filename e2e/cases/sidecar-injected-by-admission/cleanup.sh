#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k delete mutatingadmissionpolicybinding "$NS-inject"
k delete mutatingadmissionpolicy "$NS-inject"
