#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
deploy flux
