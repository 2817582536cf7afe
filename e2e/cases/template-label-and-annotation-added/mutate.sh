#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch deployment api --type=merge -p '{"spec": {"template": {"metadata": {"labels": {"canary": "yes"}, "annotations": {"vault.example.com/inject": "true"}}}}}'
