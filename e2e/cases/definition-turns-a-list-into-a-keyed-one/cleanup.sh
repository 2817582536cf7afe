#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k delete crd shelves.cases.example.com
