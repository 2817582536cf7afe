#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request patch "$cases/sensors/roof" '{"spec": {"factor": 2.0, "free": {"weight": 4.0}}}'
