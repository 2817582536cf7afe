#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k label deployment api audit=exempt
