#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request edit "$cases/buckets/media" --agent bucket-operator/1.0 'o["spec"]["grants"].append({"user": "mallory", "access": "write"}); o["metadata"].setdefault("annotations", {})["cases.example.com/handled"] = "2"'
