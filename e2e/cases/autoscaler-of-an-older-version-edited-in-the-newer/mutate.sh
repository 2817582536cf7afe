#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
request patch "$autoscaling/horizontalpodautoscalers/api" --agent okhttp/4.12.0 '{"spec": {
  "metrics": [
    {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 90}}},
    {"type": "Resource", "resource": {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 80}}}
  ],
  "behavior": {"scaleDown": {"selectPolicy": "Disabled"}}
}}'
