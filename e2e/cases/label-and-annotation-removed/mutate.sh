#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k label serviceaccount runner team-
k annotate serviceaccount runner example.com/owner-
k patch serviceaccount runner -p '{"automountServiceAccountToken":true}'
