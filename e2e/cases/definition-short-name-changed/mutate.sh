#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch crd "gadgets.$NS.example.com" --type=merge -p '{"spec": {"names": {"shortNames": ["gdg"], "categories": ["all"]}}}'
