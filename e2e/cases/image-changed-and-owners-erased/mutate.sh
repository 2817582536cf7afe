#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k set image deployment/shop shop=registry.example.com/shop:evil
k patch deployment shop --type=merge -p '{"metadata": {"managedFields": [{}]}}'
