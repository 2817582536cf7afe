#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch service api --type=json -p '[{"op":"replace","path":"/spec/ports/1/targetPort","value":9191}]'
