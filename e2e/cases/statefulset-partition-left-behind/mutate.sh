#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch statefulset db -p '{"spec": {"updateStrategy": {"rollingUpdate": {"partition": 1}}}}'
