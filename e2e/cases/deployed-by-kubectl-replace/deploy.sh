#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
sed -e 's/2\.14\.0/2.13.0/' -e '/WORKERS/d' declared.yaml | k create -f -
# The Deployment's controller may write its status between the read and the write of a replace.
for _ in 1 2 3 4 5; do k replace -f declared.yaml && exit; done
exit 1
