#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
PYTHONPATH=../lib python3 - <<'PYTHON' | k apply --server-side --force-conflicts --field-manager=argocd-controller -f -
import json
from client import documents, scope
objects = documents("declared.yaml", scope())
for o in objects:
    group = o["apiVersion"].rpartition("/")[0]
    o["metadata"]["annotations"] = {"argocd.argoproj.io/tracking-id": f"shop:{group}/{o['kind']}:{scope()}/{o['metadata']['name']}"}
print(json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
PYTHON
