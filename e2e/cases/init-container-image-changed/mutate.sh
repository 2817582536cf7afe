#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k set image deployment/shop migrate=registry.example.com/migrate:6
