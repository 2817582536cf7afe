#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k set image deployment/shop shop=x:1
k set image deployment/shop shop=registry.example.com/shop:2.14.0
