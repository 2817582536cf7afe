#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k delete apiservice "v1.$NS.example.com"
