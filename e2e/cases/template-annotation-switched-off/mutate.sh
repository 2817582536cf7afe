#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch deployment cache --type=merge -p '{"spec": {"template": {"metadata": {"annotations": {"prometheus.io/scrape": "false"}}}}}'
