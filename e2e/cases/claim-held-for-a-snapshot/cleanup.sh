#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch persistentvolumeclaim data --type=merge -p '{"metadata": {"finalizers": null}}'
