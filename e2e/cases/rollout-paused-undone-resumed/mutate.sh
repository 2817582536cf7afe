#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k rollout pause deployment/web
k rollout resume deployment/web
k rollout restart deployment/web
