#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k label configmap settings app.kubernetes.io/managed-by=Helm
