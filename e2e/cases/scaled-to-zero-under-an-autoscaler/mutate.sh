#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k scale deployment/shop --replicas=0
