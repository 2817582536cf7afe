#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k delete crd "gadgets.$NS.example.com"
