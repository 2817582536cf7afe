#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch validatingwebhookconfiguration "$NS-guard" -p '{"webhooks": [{"name": "guard.example.com", "objectSelector": {"matchLabels": {"exempt": "no"}}}]}'
