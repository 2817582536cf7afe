#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k label service api team=billing --overwrite
k annotate service api service.example.com/dns=old.example.com --overwrite
