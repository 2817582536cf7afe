#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k label configmap settings debug=yes
k annotate configmap settings example.com/note=later
k patch configmap settings --type=merge -p '{"metadata": {"finalizers": ["example.com/hold"]}}'
k label configmap settings debug-
k annotate configmap settings example.com/note-
k patch configmap settings --type=merge -p '{"metadata": {"finalizers": null}}'
