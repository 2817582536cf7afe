#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k delete job import --cascade=background
