#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k create job --from=cronjob/report report-now
