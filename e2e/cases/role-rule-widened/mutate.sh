#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch role reader --type=json -p '[{"op":"add","path":"/rules/0/verbs/-","value":"delete"}]'
