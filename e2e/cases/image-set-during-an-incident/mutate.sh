#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k set image deployment/shop shop=registry.example.com/shop:2.14.1-hotfix
