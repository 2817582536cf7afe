#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request patch "$cases/buckets/media/status" --agent bucket-operator/1.0 '{"status": {"phase": "Ready", "objects": 12}}'
