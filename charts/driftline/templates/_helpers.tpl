{{/* The chart's name. */}}
{{- define "driftline.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* The beginning of all names; short enough for every ending to fit. */}}
{{- define "driftline.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- $name := include "driftline.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{/* The service accounts. */}}
{{- define "driftline.operatorAccount" -}}
{{- include "driftline.fullname" . }}
{{- end }}
{{- define "driftline.readerAccount" -}}
{{- include "driftline.fullname" . }}-reader
{{- end }}
{{- define "driftline.dryRunAccount" -}}
{{- include "driftline.fullname" . }}-dry-run
{{- end }}

{{/* The guard's policy and binding. */}}
{{- define "driftline.guardPolicy" -}}
{{- include "driftline.fullname" . }}-dry-run-only
{{- end }}

{{/* The stamp's policy and binding. */}}
{{- define "driftline.stampPolicy" -}}
{{- include "driftline.fullname" . }}-stamp
{{- end }}

{{- define "driftline.selectorLabels" -}}
app.kubernetes.io/name: {{ include "driftline.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Those of the chart come last: they win. */}}
{{- define "driftline.labels" -}}
{{- with .Values.commonLabels }}
{{- toYaml . }}
{{ end }}
{{- ""}}helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "driftline.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "driftline.image" -}}
{{- $image := .Values.image }}
{{- if not $image.repository }}
{{- fail "image.repository: there is no published image yet; build one with the Dockerfile of the repository, and name it with --set image.repository=…" }}
{{- end }}
{{- if $image.digest }}
{{- printf "%s@%s" $image.repository $image.digest }}
{{- else }}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) }}
{{- end }}
{{- end }}

{{/*
RBAC rules for custom resources. Call with a dict of name (of the value, for messages), list, verbs and refused (groups).
The schema refuses the same; this holds where the schema is skipped.
*/}}
{{- define "driftline.customResourceRules" -}}
{{- $ := . }}
{{- range .list }}
{{- range .apiGroups }}
{{- if not (regexMatch "^[a-z0-9][-a-z0-9]*(\\.[a-z0-9][-a-z0-9]*)+$" .) }}
{{- fail (printf "%s: %q is no group of custom resources; name one, for example cert-manager.io (\"*\" and \"\" would cover Secrets)" $.name .) }}
{{- end }}
{{- if has . $.refused }}
{{- fail (printf "%s: admission policies are not always run on %s, so the dry-run account may hold nothing of it" $.name .) }}
{{- end }}
{{- end }}
{{- range .resources }}
{{- if not (regexMatch "^[a-z0-9][-a-z0-9]*$" .) }}
{{- fail (printf "%s: %q is no plural name of a resource; name them one by one, without subresources" $.name .) }}
{{- end }}
{{- end }}
- apiGroups: {{ toJson .apiGroups }}
  resources: {{ toJson .resources }}
  verbs: {{ toJson $.verbs }}
{{- end }}
{{- end }}

{{/* Groups on which the API server does not always run admission policies: see cluster::guard. */}}
{{- define "driftline.unguardedGroups" -}}
["admissionregistration.k8s.io", "apiregistration.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "certificates.k8s.io", "rbac.authorization.k8s.io"]
{{- end }}
