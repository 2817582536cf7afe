#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k delete configmap settings --wait=false
