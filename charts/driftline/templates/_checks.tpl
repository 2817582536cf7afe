{{/*
What fits together name by name and not as a whole: refused before anything is installed, in words.
*/}}
{{- define "driftline.check" -}}
{{- $ := . }}
{{- with .Values }}
{{- if and (not .expected.enabled) .expected.customResources }}
{{- fail "expected.customResources: nothing is asked about while expected.enabled is false; set that to true, or leave the list empty" }}
{{- end }}
{{- if and .serviceMonitor.enabled (not .service.enabled) }}
{{- fail "serviceMonitor.enabled: it finds the pods by the Service; set service.enabled to true" }}
{{- end }}
{{- if and .serviceMonitor.enabled .networkPolicy.enabled (not .networkPolicy.metricsFrom) }}
{{- fail "networkPolicy.metricsFrom: nobody may read /metrics, so serviceMonitor.enabled could not work; name where Prometheus runs, for example [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]" }}
{{- end }}
{{- if and .podDisruptionBudget.enabled (has (toString .podDisruptionBudget.maxUnavailable) (list "0" "0%")) }}
{{- fail "podDisruptionBudget.maxUnavailable: with 0 no node that runs Driftline could be drained; set it to 1, or podDisruptionBudget.enabled to false" }}
{{- end }}
{{- if le (include "driftline.bytes" .worker.cache.sizeLimit | int64) (int64 .worker.cache.bytes) }}
{{- fail (printf "worker.cache.sizeLimit: %v has to be more than worker.cache.bytes (%d): what is being rendered lies in that volume too" .worker.cache.sizeLimit (int64 .worker.cache.bytes)) }}
{{- end }}
{{- range $container, $resources := dict "operator" .operator.resources "worker" .worker.resources }}
{{- range $name, $limit := $resources.limits }}
{{- with get (default dict $resources.requests) $name }}
{{- if gt (include "driftline.milli" . | int64) (include "driftline.milli" $limit | int64) }}
{{- fail (printf "%s.resources: requests.%s (%v) is more than limits.%s (%v), and Kubernetes refuses such a pod" $container $name . $name $limit) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* A quantity in thousandths. */}}
{{- define "driftline.milli" -}}
{{- $text := toString . }}
{{- $suffix := regexFind "[A-Za-z]+$" $text }}
{{- $units := dict "" 1000 "m" 1 "k" 1e6 "Ki" 1024e3 "M" 1e9 "Mi" 1048576e3 "G" 1e12 "Gi" 1073741824e3 "T" 1e15 "Ti" 1099511627776e3 }}
{{- mulf (trimSuffix $suffix $text | float64) (get $units $suffix) | int64 }}
{{- end }}

{{/* A quantity in whole units: bytes, where it is one of memory. */}}
{{- define "driftline.bytes" -}}
{{- div (include "driftline.milli" . | int64) 1000 }}
{{- end }}
