#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k scale deployment/api --replicas=4
