#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k rollout restart deployment/api
