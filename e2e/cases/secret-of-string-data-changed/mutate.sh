#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch secret api-key -p '{"stringData": {"key": "second-key"}}'
