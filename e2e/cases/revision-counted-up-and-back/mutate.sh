#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
revision() { test "$(kubectl -n "$NS" get deployment shop -o jsonpath='{.metadata.annotations.deployment\.kubernetes\.io/revision}')" = "$1"; }
until_true revision 1
k set image deployment/shop shop=registry.example.com/shop:2.15.0-rc1
until_true revision 2
k set image deployment/shop shop=registry.example.com/shop:2.14.0
until_true revision 3
