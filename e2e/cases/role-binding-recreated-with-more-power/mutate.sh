#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k delete rolebinding devs
k create rolebinding devs --clusterrole=admin --group=shop-devs
