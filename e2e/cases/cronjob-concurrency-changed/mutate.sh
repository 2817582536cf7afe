#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch cronjob report -p '{"spec": {"concurrencyPolicy": "Replace", "successfulJobsHistoryLimit": 0}}'
