#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch resourcequota team -p '{"spec":{"hard":{"cpu":"20"}}}'
