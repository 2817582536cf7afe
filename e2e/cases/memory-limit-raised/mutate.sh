#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k set resources deployment/worker --limits=memory=4Gi
