#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch job import -p '{"spec": {"suspend": true}}'
