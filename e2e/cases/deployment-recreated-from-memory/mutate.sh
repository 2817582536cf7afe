#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k delete deployment shop
grep -v -e replicas -e 'labels: {app: shop, tier' declared.yaml | sed 's/  name: shop$/  name: shop\n  labels: {app: shop}/' | k create -f -
