#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k delete namespace "$NS-tenant" --wait=false
