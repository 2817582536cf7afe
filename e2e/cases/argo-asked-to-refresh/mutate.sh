#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k annotate configmap settings argocd.argoproj.io/refresh=hard argocd.argoproj.io/installation-id=main
