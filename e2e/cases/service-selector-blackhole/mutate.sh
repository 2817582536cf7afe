#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch service api --type=merge -p '{"spec":{"selector":{"app":"maintenance"}}}'
