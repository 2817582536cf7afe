#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k rollout pause deployment/api
