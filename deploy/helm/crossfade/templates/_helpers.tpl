{{- define "crossfade.name" -}}
{{- $name := .Release.Name -}}
{{- if not (contains "crossfade" $name) }}{{ $name = printf "%s-crossfade" $name }}{{ end -}}
{{- /* Pods of a StatefulSet carry its name and a hash in a label of 63 characters: with "-apply-back-64" it has 52. */}}
{{- $name | trunc 38 | trimSuffix "-" -}}
{{- end }}

{{- define "crossfade.selector" -}}
app.kubernetes.io/name: crossfade
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "crossfade.labels" -}}
{{ include "crossfade.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "crossfade.serviceAccount" -}}
{{- if .Values.serviceAccount.name }}{{ .Values.serviceAccount.name }}
{{- else if .Values.serviceAccount.create }}{{ include "crossfade.name" . }}
{{- else }}default{{ end -}}
{{- end }}

{{- define "crossfade.image" -}}
{{- if .Values.image.digest }}{{ printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) }}{{ end -}}
{{- end }}

{{- /* What would start and be wrong is refused here. */}}
{{- define "crossfade.config" -}}
{{- $config := .Values.config -}}
{{- $journal := ($config.journal).url | default "" -}}
{{- if hasPrefix "lmdb:" $journal }}{{ fail "config.journal.url: an embedded journal (lmdb:) lies on one machine's disk; on Kubernetes capture and apply are pods of their own: use kafka://" }}{{ end -}}
{{- if and .Values.cutover.enabled (eq .Values.cutover.command "run") (not .Values.cutover.confirm) }}{{ fail "cutover.confirm: write the name of the source's database, to switch over" }}{{ end -}}
{{- if and ($config.apply).shard (ne (toString $config.apply.shard) "1/1") }}{{ fail "config.apply.shard: the chart sets it; say how many in apply.shards" }}{{ end -}}
{{- toYaml $config -}}
{{- end }}

{{- /* The roles' addresses as others see them: flags, since they win over the file. (dict "root" $ "own" "capture.listen"): but for that one */}}
{{- define "crossfade.addresses" -}}
{{- $name := include "crossfade.name" .root }}
{{- $all := list (list "capture.listen" "capture:7301") (list "apply.listen" "apply-1:7302") }}
{{- if .root.Values.reverse.enabled }}{{ $all = concat $all (list (list "reverse.capture_listen" "capture-back:7301") (list "reverse.apply_listen" "apply-back-1:7302")) }}{{ end }}
{{- range $all }}
{{- if ne (first .) $.own }}
- --{{ first . }}={{ $name }}-{{ last . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "crossfade.podMetadata" -}}
labels:
  {{- include "crossfade.labels" .root | nindent 2 }}
  app.kubernetes.io/component: {{ .component }}
  {{- with .root.Values.podLabels }}{{ toYaml . | nindent 2 }}{{ end }}
annotations:
  checksum/config: {{ include "crossfade.config" .root | sha256sum }}
  {{- with .root.Values.podAnnotations }}{{ toYaml . | nindent 2 }}{{ end }}
{{- end }}

{{- /* The part of a pod's spec that all have. */}}
{{- define "crossfade.podSpec" -}}
serviceAccountName: {{ include "crossfade.serviceAccount" . }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
terminationGracePeriodSeconds: {{ int64 .Values.terminationGracePeriodSeconds }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{- define "crossfade.container" -}}
image: {{ include "crossfade.image" . | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
env:
  - { name: CROSSFADE_CONFIG, value: /etc/crossfade/crossfade.yaml }
  - { name: CREDENTIALS_DIRECTORY, value: /run/credentials/crossfade }
  {{- with .Values.env }}{{ toYaml . | nindent 2 }}{{ end }}
volumeMounts:
  - { name: config, mountPath: /etc/crossfade, readOnly: true }
  - { name: scratch, mountPath: /tmp }
  {{- if .Values.credentials.secret }}
  - { name: credentials, mountPath: /run/credentials/crossfade, readOnly: true }
  {{- end }}
{{- end }}

{{- /* (dict "root" $ "spill" "10Gi") */}}
{{- define "crossfade.volumes" -}}
- name: config
  projected:
    sources:
      - configMap: { name: {{ include "crossfade.name" .root }} }
      {{- if .root.Values.ca.secret }}
      - secret: { name: {{ .root.Values.ca.secret }}, items: [{ key: ca.pem, path: ca/ca.pem }] }
      {{- else if .root.Values.ca.configMap }}
      - configMap: { name: {{ .root.Values.ca.configMap }}, items: [{ key: ca.pem, path: ca/ca.pem }] }
      {{- end }}
- name: scratch
  emptyDir: { sizeLimit: {{ .spill }} }
{{- if .root.Values.credentials.secret }}
- name: credentials
  secret: { secretName: {{ .root.Values.credentials.secret }}, defaultMode: 0440 }
{{- end }}
{{- end }}

{{- /* Alive: the loop goes round. Ready: it works, and nothing that it needs is away. */}}
{{- define "crossfade.probes" -}}
{{- $scheme := "HTTP" }}{{ if (.Values.config.control).tls_cert }}{{ $scheme = "HTTPS" }}{{ end -}}
livenessProbe:
  httpGet: { path: /healthz, port: http, scheme: {{ $scheme }} }
  initialDelaySeconds: 10
  periodSeconds: 20
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: { path: /readyz, port: http, scheme: {{ $scheme }} }
  periodSeconds: 10
  timeoutSeconds: 5
{{- end }}
