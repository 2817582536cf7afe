#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch turbine east --subresource=status --type=merge -p '{"status": {"phase": "Ready"}}'
k patch turbine east --type=merge -p '{"metadata": {"annotations": {"example.com/hold": "dana"}}, "spec": {"debug": true, "notes": {"b": "2"}}}'
