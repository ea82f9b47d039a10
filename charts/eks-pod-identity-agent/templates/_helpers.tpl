{{/* A scalar as text. Helm reads numbers as floats, and 1000000 must not become 1e+06. */}}
{{- define "agent.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else }}{{ toJson . }}{{ end }}
{{- end }}

{{/* A map of scalars with all values as text, as labels and annotations need them. */}}
{{- define "agent.texts" -}}
{{- $texts := dict }}
{{- range $key, $value := . }}{{ $_ := set $texts $key (include "agent.text" $value) }}{{ end }}
{{- toYaml $texts }}
{{- end }}

{{/* A map laid over another, as YAML. Sprig's merges take false and 0 for absent: (dict "base" … "over" …). */}}
{{- define "agent.over" -}}
{{- $whole := deepCopy (default dict .base) }}
{{- range $key, $value := .over }}{{ $_ := set $whole $key $value }}{{ end }}
{{- toYaml $whole }}
{{- end }}

{{/* NAME[-SUFFIX] within the 63 characters of a label, whole suffix first: (dict "name" … "suffix" …). */}}
{{- define "agent.suffixed" -}}
{{- $suffix := ternary (printf "-%s" .suffix) "" (not (empty .suffix)) }}
{{- printf "%s%s" (.name | trunc (int (sub 63 (len $suffix))) | trimSuffix "-") $suffix }}
{{- end }}

{{- define "agent.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "agent.fullname" -}}
{{- $name := include "agent.name" . }}
{{- if .Values.fullnameOverride }}{{ $name = .Values.fullnameOverride }}
{{- else if contains $name .Release.Name }}{{ $name = .Release.Name }}
{{- else }}{{ $name = printf "%s-%s" .Release.Name $name }}{{ end }}
{{- $name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "agent.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{/* What selects the pods of all DaemonSets. */}}
{{- define "agent.podLabels" -}}
app: {{ include "agent.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* What a DaemonSet selects its pods by. It can never change, and is what AWS's chart uses: (dict "root" $ "suffix" …). */}}
{{- define "agent.selectorLabels" -}}
app.kubernetes.io/name: {{ include "agent.suffixed" (dict "name" (include "agent.name" .root) "suffix" .suffix) }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{/* Labels of an object: ours win over common ones, which might break what selects by them. (dict "root" $ "suffix" … "extra" …) */}}
{{- define "agent.labels" -}}
{{- $ours := merge (include "agent.selectorLabels" . | fromYaml) (include "agent.podLabels" .root | fromYaml) (dict
  "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_")
  "app.kubernetes.io/version" .root.Chart.AppVersion
  "app.kubernetes.io/managed-by" .root.Release.Service) }}
{{- include "agent.texts" (merge $ours (default dict .extra) .root.Values.commonLabels) }}
{{- end }}

{{/* Name, namespace and labels: (dict "root" $ "suffix" … "extra" …). */}}
{{- define "agent.metadata" -}}
name: {{ include "agent.suffixed" (dict "name" (include "agent.fullname" .root) "suffix" .suffix) }}
namespace: {{ include "agent.namespace" .root }}
labels:
  {{- include "agent.labels" . | nindent 2 }}
{{- end }}

{{- define "agent.image" -}}
{{- with .Values.image }}
{{- if .override }}{{ .override }}
{{- else }}
{{- $image := printf "%s/%s" (trimSuffix "/" .containerRegistry) .repository }}
{{- if .digest }}{{ printf "%s@%s" $image .digest }}{{ else }}{{ printf "%s:%s" $image (default $.Chart.AppVersion .tag) }}{{ end }}
{{- end }}
{{- end }}
{{- end }}

{{/* AWS's chart has commands as the text of a list. */}}
{{- define "agent.command" -}}
{{- if kindIs "string" . }}{{ toYaml (fromYamlArray .) }}{{ else }}{{ toYaml . }}{{ end }}
{{- end }}

{{/* Flag to value as arguments, sorted by flag. */}}
{{- define "agent.flags" -}}
{{- range $flag, $value := . }}
{{- if kindIs "invalid" $value }}
- {{ $flag | quote }}
{{- else if kindIs "bool" $value }}
{{- if $value }}
- {{ $flag | quote }}
{{- end }}
{{- else }}
{{- range (kindIs "slice" $value | ternary $value (list $value)) }}
- {{ $flag | quote }}
- {{ include "agent.text" . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Name to value as environment. */}}
{{- define "agent.env" -}}
{{- range $name, $value := . }}
{{- if not (kindIs "invalid" $value) }}
- name: {{ $name }}
  value: {{ include "agent.text" $value | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* A probe, which asks what it says itself or else this path: (dict "probe" … "path" … "port" …). */}}
{{- define "agent.probe" -}}
{{- $own := or (hasKey .probe "httpGet") (hasKey .probe "tcpSocket") (hasKey .probe "exec") (hasKey .probe "grpc") }}
{{- if $own }}
{{- toYaml .probe }}
{{- else if and .path .socket }}
{{- $command := list "/eks-pod-identity-agent" "probe" .question "--probe-socket" .socket }}
{{- include "agent.over" (dict "base" .probe "over" (dict "exec" (dict "command" $command))) }}
{{- else if .path }}
{{- $asked := dict "host" "localhost" "path" .path "port" .port "scheme" "HTTP" }}
{{- include "agent.over" (dict "base" .probe "over" (dict "httpGet" $asked)) }}
{{- end }}
{{- end }}

{{- define "agent.isolated" -}}
{{- if contains "-iso" (default "" .Values.env.AWS_REGION) }}yes{{ end }}
{{- end }}

{{- define "agent.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (.Values.serviceAccount.create | ternary (include "agent.fullname" .) "default") }}
{{- end }}

{{/* Relabelings that lead to the metrics of a pod whose port is not declared: any of its containers' targets will do, the agent's is kept. */}}
{{- define "agent.podRelabelings" -}}
- action: keep
  sourceLabels: [__meta_kubernetes_pod_container_name]
  regex: {{ .Chart.Name }}
- action: replace
  sourceLabels: [__meta_kubernetes_pod_ip]
  regex: ([0-9.]+)
  replacement: ${1}:{{ .Values.metrics.port }}
  targetLabel: __address__
- action: replace
  sourceLabels: [__meta_kubernetes_pod_ip]
  regex: (.*:.*)
  replacement: "[${1}]:{{ .Values.metrics.port }}"
  targetLabel: __address__
{{- end }}

{{- /* Whether the agent watches pods: not with the service account that all pods of the namespace have, who would all get its rights. */}}
{{- define "agent.watchesPods" -}}
{{- if and .Values.podWatch.enabled (or .Values.serviceAccount.create .Values.serviceAccount.name) }}true{{ end }}
{{- end }}

{{- /* Whether the agent reads its node: for the startup taint, or to find the cluster's name. For that, only by an account of its own. */}}
{{- define "agent.readsNode" -}}
{{- if or .Values.startupTaint.key (and (not .Values.clusterName) (or .Values.serviceAccount.create .Values.serviceAccount.name)) }}true{{ end }}
{{- end }}

{{- /* Whether agents hand over to each other: not where the pods declare a port, which the scheduler gives to one pod of a node only. */}}
{{- define "agent.handsOver" -}}
{{- if and .Values.handover.enabled (not .Values.agent.advertiseProxyPort) }}true{{ end }}
{{- end }}

{{- /* Where probes ask this very pod. In a roll-out two agents share the probe port of a node, and either may answer there. */}}
{{- define "agent.probeSocket" -}}
{{- if include "agent.handsOver" . }}{{ .Values.agent.probeSocket }}{{ end }}
{{- end }}
