#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request edit "$core/persistentvolumeclaims/data" --agent snapshot-controller/v8.2.0 'o["metadata"]["finalizers"].append("snapshot.storage.kubernetes.io/pvc-as-source-protection")'
