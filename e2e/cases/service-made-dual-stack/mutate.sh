#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch service shop --type=merge -p '{"spec": {"ipFamilyPolicy": "PreferDualStack"}}'
