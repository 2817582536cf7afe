#!/bin/bash
. "$(dirname "$0")/../lib/env.sh"
k apply -f declared.yaml
kubectl apply -f - >/dev/null <<END
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: $NS-freeze}
spec:
  failurePolicy: Fail
  matchConstraints:
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: $NS}}
    resourceRules:
    - {apiGroups: [apps, batch], apiVersions: ["*"], operations: [CREATE], resources: [deployments, cronjobs]}
  validations: [{expression: "false", message: frozen}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: $NS-freeze}
spec: {policyName: $NS-freeze, validationActions: [Deny]}
END
frozen() { { kubectl -n "$NS" create deployment another --image=registry.example.com/another:1 --dry-run=server 2>&1 || true; } | grep frozen; }
until_true frozen
