#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request edit "$core/configmaps/settings" --agent kubectl-edit/v1.37.2 'o["data"]["app.ini"] = o["data"]["app.ini"].replace("30", "300")'
