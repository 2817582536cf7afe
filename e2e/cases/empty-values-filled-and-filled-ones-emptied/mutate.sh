#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k set env deployment/api FLAGS=--debug MODE=
k patch deployment api --type=json -p '[{"op": "add", "path": "/spec/template/spec/containers/0/args", "value": ["--trace"]}]'
k patch deployment api -p '{"spec": {"template": {"spec": {"nodeSelector": {"disk": "ssd"}}}}}'
k patch configmap api -p '{"data": {"banner": "closed", "motto": ""}}'
