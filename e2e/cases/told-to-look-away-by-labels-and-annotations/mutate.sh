#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k annotate networkpolicy api kustomize.toolkit.fluxcd.io/ssa=Ignore
k label networkpolicy api kustomize.toolkit.fluxcd.io/prune=disabled
k annotate role api argocd.argoproj.io/sync-options=Prune=false meta.helm.sh/release-revision=7
