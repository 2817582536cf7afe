#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request edit "$cases/cloudvolumes/orders" --agent provider-cloud/1.0 'o["spec"]["forProvider"]["iops"] = 300; o["spec"]["forProvider"]["tags"]["cases.example.com/provider"] = "eu"'
request patch "$cases/cloudvolumes/orders/status" --agent provider-cloud/1.0 '{"status": {"ready": "True", "id": "vol-1"}}'
