#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k annotate ingress shop 'nginx.ingress.kubernetes.io/server-snippet=return 302 https://elsewhere.example.net;'
