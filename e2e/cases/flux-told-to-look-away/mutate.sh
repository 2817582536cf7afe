#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k annotate configmap settings kustomize.toolkit.fluxcd.io/reconcile=disabled
