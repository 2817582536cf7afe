#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
deploy flux --release store
deploy helm4 --release store
