#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k label clusterrole "$NS-scrape" scraped-
