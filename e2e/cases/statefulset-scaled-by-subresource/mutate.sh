#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch statefulset queue --subresource=scale --type=merge -p '{"spec":{"replicas":0}}'
