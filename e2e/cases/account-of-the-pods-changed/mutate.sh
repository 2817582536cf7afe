#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k set serviceaccount deployment/api admin
