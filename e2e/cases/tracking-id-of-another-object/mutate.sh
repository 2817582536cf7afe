#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k annotate configmap settings argocd.argoproj.io/tracking-id=billing:/ConfigMap:billing/settings
