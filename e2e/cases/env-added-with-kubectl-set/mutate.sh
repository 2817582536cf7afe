#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k set env deployment/shop HTTP_PROXY=http://10.0.0.9:3128
