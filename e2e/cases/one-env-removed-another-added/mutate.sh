#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k set env deployment/shop WORKERS- THREADS=4
