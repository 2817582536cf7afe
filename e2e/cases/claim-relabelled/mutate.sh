#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k label pvc data backup=never --overwrite
