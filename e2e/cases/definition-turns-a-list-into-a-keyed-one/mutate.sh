#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k apply --server-side --force-conflicts -f newer.yaml
k wait --for=condition=Established -f newer.yaml
keyed() { ! k patch shelf books --dry-run=server --type=json -p '[{"op": "replace", "path": "/spec/boards/0/name", "value": "bottom"}]'; }
until_true keyed
request edit "$cases/shelves/books" --agent shelf-console/1.0 'o["spec"]["boards"].reverse()'
