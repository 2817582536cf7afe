#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
sed -e 's/2\.14\.0/2.13.0/' -e '/WORKERS/d' declared.yaml | k create -f -
k replace -f declared.yaml
