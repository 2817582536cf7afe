#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch database orders --type=merge -p '{"spec":{"users":[{"name":"audit","role":"reader"},{"name":"app","role":"writer"}],"zones":["b","a"]}}'
