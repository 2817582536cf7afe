#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request patch "$core/serviceaccounts/builder" --manager openshift.io/image-registry-pull-secrets_service-account-controller '{"metadata": {"annotations": {"openshift.io/internal-registry-pull-secret-ref": "builder-dockercfg-x7k2p"}}, "secrets": [{"name": "builder-dockercfg-x7k2p"}], "imagePullSecrets": [{"name": "registry"}, {"name": "builder-dockercfg-x7k2p"}]}'
