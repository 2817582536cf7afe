#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch deployment api --type=strategic -p '{"spec": {"template": {"spec": {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["198.51.100.53"]}, "hostAliases": [{"ip": "198.51.100.80", "hostnames": ["pay.example.com"]}]}}}}'
