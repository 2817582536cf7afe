#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k label namespace "$NS-tenant" istio-injection=enabled
