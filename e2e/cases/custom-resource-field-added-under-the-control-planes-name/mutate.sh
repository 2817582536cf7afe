#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request edit "$cases/buckets/media" --agent kube-controller-manager/v1.37.2 'o["spec"]["grants"].append({"user": "mallory", "access": "write"}); o["spec"]["tags"].append("leak")'
