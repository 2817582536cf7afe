#!/bin/sh
# Builds helm and kustomize into a folder, in the versions of e2e/tools/go.mod and with the checksums of its go.sum: those that the tests
# run with.
#
#   tools.sh DESTINATION
set -eu
mkdir -p "$1"
destination=$(cd "$1" && pwd)
cd "$(dirname "$0")/../e2e/tools"
version() { go list -m -f '{{.Version}}' "$1"; }
CGO_ENABLED=0 GOWORK=off GOFLAGS=-mod=readonly go build -trimpath -buildvcs=false -o "$destination/" -ldflags "-s -w \
    -X helm.sh/helm/v4/internal/version.version=$(version helm.sh/helm/v4) \
    -X sigs.k8s.io/kustomize/api/provenance.version=$(version sigs.k8s.io/kustomize/kustomize/v5)" \
    helm.sh/helm/v4/cmd/helm sigs.k8s.io/kustomize/kustomize/v5
