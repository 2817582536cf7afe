#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k patch deployment worker --type=json -p '[{"op": "replace", "path": "/spec/template/spec/containers/0/env/0", "value": {"name": "QUEUE_URL", "value": "amqp://queue.test:5672"}}]'
