#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k annotate deployment api example.com/owner=nobody
