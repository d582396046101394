{{/* The pod of a worker, below `template:`. */}}
{{- define "muster.worker" -}}
{{- $workers := .Values.workers -}}
{{- $memory := add (mul $workers.bots $workers.botMemoryMi) $workers.ownMemoryMi $workers.shmMi -}}
metadata:
  labels: {{- include "muster.labels" (list . "worker") | nindent 4 }}
  annotations:
    {{- include "muster.checksum" . | nindent 4 }}
    # Whoever tidies up nodes leaves calls alone.
    cluster-autoscaler.kubernetes.io/safe-to-evict: "false"
    karpenter.sh/do-not-disrupt: "true"
    {{- if ne $workers.kind "scaledjob" }}
    # The worker keeps it current: the more calls, the dearer.
    controller.kubernetes.io/pod-deletion-cost: "0"
    {{- end }}
    {{- with $workers.annotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  serviceAccountName: {{ include "muster.name" . }}-worker
  automountServiceAccountToken: {{ ne $workers.kind "scaledjob" }}
  terminationGracePeriodSeconds: {{ add $workers.drainSeconds 600 }}
  {{- if eq $workers.kind "scaledjob" }}
  restartPolicy: Never
  {{- end }}
  {{- include "muster.pod" . | nindent 2 }}
  {{- with $workers.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $workers.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - {{- include "muster.container" (list . "worker") | nindent 6 }}
      env:
        - name: POD_NAME
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        - name: POD_NAMESPACE
          valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
      # Ready once it has been. There is no probe of readiness: a worker that drains is not ready, and KEDA would take it for one
      # that is still starting.
      startupProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 2
        failureThreshold: 60
      resources:
        requests:
          cpu: {{ add (mul $workers.bots $workers.botCpuMilli) $workers.ownCpuMilli }}m
          memory: {{ $memory }}Mi
          ephemeral-storage: {{ $workers.diskMi }}Mi
        # No limit of CPU: what others leave is good for sound.
        limits:
          memory: {{ $memory }}Mi
      volumeMounts:
        - {name: data, mountPath: /data}
        - {name: tmp, mountPath: /tmp}
        - {name: shm, mountPath: /dev/shm}
  volumes:
    - name: data
      emptyDir: {sizeLimit: {{ $workers.diskMi }}Mi}
    - name: tmp
      emptyDir: {sizeLimit: 1Gi}
    - name: shm
      emptyDir: {medium: Memory, sizeLimit: {{ $workers.shmMi }}Mi}
{{- end }}

{{/* What KEDA asks. A Job is made for each worker that is to be added; a Deployment is given as many as there are to be. */}}
{{- define "muster.triggers" -}}
{{- $name := include "muster.name" . -}}
{{- if eq .Values.workers.trigger "external-push" -}}
- type: external-push
  metadata:
    scalerAddress: {{ $name }}-control.{{ .Release.Namespace }}.svc:9090
    metric: {{ ternary "workers_to_add" "desired_workers" (eq .Values.workers.kind "scaledjob") }}
{{- else -}}
- type: metrics-api
  metadata:
    url: http://{{ $name }}-api.{{ .Release.Namespace }}.svc/api/v1/fleet/scaling
    format: json
    valueLocation: {{ ternary "workers_to_add" "desired_workers" (eq .Values.workers.kind "scaledjob") }}
    targetValue: "1"
    # In the header X-API-Key.
    authMode: apiKey
  authenticationRef: {name: {{ $name }}}
{{- end }}
{{- end }}
