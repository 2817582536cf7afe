#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k delete service queue
printf '{apiVersion: v1, kind: Service, metadata: {name: queue}, spec: {clusterIP: None, selector: {app: queue}, ports: [{port: 5672}]}}' | k create -f -
