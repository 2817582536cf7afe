#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch crane tall --type=json -p '[{"op": "remove", "path": "/spec/enabled"}, {"op": "remove", "path": "/spec/retries"}, {"op": "remove", "path": "/spec/note"}, {"op": "remove", "path": "/spec/tags"}, {"op": "remove", "path": "/spec/options"}]'
k annotate crane tall note-
