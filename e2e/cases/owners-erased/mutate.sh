#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch deployment shop --type=merge -p '{"metadata": {"managedFields": [{}]}}'
