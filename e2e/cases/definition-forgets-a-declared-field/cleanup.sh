#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k delete crd ladders.cases.example.com
