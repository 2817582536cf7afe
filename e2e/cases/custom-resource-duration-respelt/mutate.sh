#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request patch "$cases/backups/nightly" --agent backup-controller/v1.0.0 '{"spec": {"every": "24h0m0s", "keep": "1h0m0s"}}'
