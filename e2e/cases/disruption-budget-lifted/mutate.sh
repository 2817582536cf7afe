#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch pdb shop --type=merge -p '{"spec": {"minAvailable": 0}}'
