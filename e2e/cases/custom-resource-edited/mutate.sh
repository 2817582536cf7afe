#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch database orders --type=json -p '[{"op":"replace","path":"/spec/users/0/role","value":"owner"},{"op":"remove","path":"/spec/zones/1"},{"op":"replace","path":"/spec/options/cache/ttl","value":60}]'
