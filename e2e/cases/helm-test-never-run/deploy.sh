#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
sed '/^---/,$ d' declared.yaml > release.yaml
deploy helm3 release.yaml
