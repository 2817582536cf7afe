#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request edit "$cases/settings/odd" --agent settings-console/1.0 'v = o["spec"]["values"]; del v["[0]"]; v.update({k: 2 for k in v}); v["a=b,c"] = True'
