#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k set env deployment/shop LOG_LEVEL=debug
