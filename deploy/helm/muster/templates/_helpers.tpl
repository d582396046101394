{{- define "muster.name" -}}
{{- if contains "muster" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-muster" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* Labels that select the pods of a role: (list $ "api") */}}
{{- define "muster.selector" -}}
app.kubernetes.io/name: muster
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "muster.labels" -}}
{{ include "muster.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/part-of: muster
{{- end }}

{{/* worker.lease is MUSTER_WORKER__LEASE. */}}
{{- define "muster.variable" -}}
MUSTER_{{ . | replace "." "__" | upper }}
{{- end }}

{{/* The configuration that every role has: what the values set for workers, and `config`, which comes last. Of the memory of a pod,
     15 % stay free (worker.memory_headroom), so bots are given the rest of what was asked for. */}}
{{- define "muster.config" -}}
{{- $workers := .Values.workers }}
{{- $made := dict
  "worker.max_concurrent_bots" $workers.bots
  "worker.bot_memory" (printf "%dMiB" (div (mul $workers.botMemoryMi 85) 100))
  "worker.bot_cpu" (divf $workers.botCpuMilli 1000)
  "worker.drain_deadline" (printf "%ds" (int $workers.drainSeconds))
  "autoscale.min_workers" $workers.min
  "autoscale.max_workers" $workers.max
  "autoscale.slots_per_worker" $workers.bots }}
{{- /* worker.bot_memory_limit, 3 GB, must not be less. */}}
{{- if gt (int $workers.botMemoryMi) 3300 }}{{ $_ := set $made "worker.bot_memory_limit" (printf "%dMiB" (int $workers.botMemoryMi)) }}{{ end }}
{{- if eq $workers.kind "scaledjob" }}{{ $_ := set $made "worker.exit_when_idle" $workers.exitWhenIdle }}{{ end }}
{{- if and (ne $workers.kind "fixed") (eq $workers.trigger "external-push") }}{{ $_ := set $made "autoscale.keda_listen" "0.0.0.0:9090" }}{{ end }}
{{- range $key, $value := merge (deepCopy .Values.config) $made }}
{{- /* A whole number of a file is one with a fraction, and a large one would be written with an exponent. */}}
{{- if and (kindIs "float64" $value) (eq (floor $value) $value) }}{{ $value = int64 $value }}{{ end }}
{{ include "muster.variable" $key }}: {{ $value | toString | quote }}
{{- end }}
{{- end }}

{{/* What every container is and may. */}}
{{- define "muster.container" -}}
{{- $ := index . 0 }}{{- $role := index . 1 -}}
name: muster
image: {{ printf "%s:%s" $.Values.image.repository (default $.Chart.AppVersion $.Values.image.tag) | quote }}
imagePullPolicy: {{ $.Values.image.pullPolicy }}
args: [serve, {{ $role }}]
envFrom:
  - configMapRef: {name: {{ include "muster.name" $ }}}
  {{- with $.Values.secrets.env }}
  - secretRef: {name: {{ . }}}
  {{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
ports:
  - {name: http, containerPort: 8080}
livenessProbe:
  httpGet: {path: /healthz, port: http}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}

{{/* What every pod may. */}}
{{- define "muster.pod" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "muster.checksum" -}}
checksum/config: {{ include "muster.config" . | sha256sum }}
{{- end }}
