#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k delete rolebinding/devs serviceaccount/robot
