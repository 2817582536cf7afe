#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k scale deployment/web --replicas=0
k scale deployment/web --replicas=2
