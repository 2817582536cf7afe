#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k set resources deployment/shop --requests=cpu=2 --limits=cpu=4
