#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k delete deployment/shop service/shop secret/db configmap/settings
deploy helm4
