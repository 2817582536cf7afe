#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k label secret letters seen=yes
k label configmap letters seen=yes
k label secret letters seen-
k label configmap letters seen-
