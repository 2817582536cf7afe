#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k delete crd fences.cases.example.com hedges.cases.example.com
