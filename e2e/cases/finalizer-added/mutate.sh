#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch configmap settings --type=merge -p '{"metadata": {"finalizers": ["example.com/hold"]}}'
