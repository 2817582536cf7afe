#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request patch "$core/secrets/ci-token" --agent kube-apiserver/v1.37.2 '{"metadata": {"labels": {"kubernetes.io/legacy-token-last-used": "2026-11-27"}}}'
