#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch secret db -p '{"data": {"password": "cm90YXRlZA=="}}'
