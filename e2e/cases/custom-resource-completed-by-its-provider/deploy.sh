#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
deploy flux
request edit "$cases/cloudvolumes/orders" --agent provider-cloud/1.0 'o["metadata"].setdefault("annotations", {})["cases.example.com/external-name"] = "vol-1"; o["spec"]["forProvider"]["zone"] = "b"'
request patch "$cases/cloudvolumes/orders/status" --agent provider-cloud/1.0 '{"status": {"ready": "True"}}'
