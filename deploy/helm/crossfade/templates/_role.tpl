{{- /* A Service and a StatefulSet of one pod. (dict "root" $ "role" "capture" "name" "capture-back" "port" 7301 "values" … "listen" "capture.listen" "flags" (list …)) */}}
{{- define "crossfade.role" -}}
{{- $full := printf "%s-%s" (include "crossfade.name" .root) .name }}
apiVersion: v1
kind: Service
metadata:
  name: {{ $full }}
  labels:
    {{- include "crossfade.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .name }}
    crossfade/metrics: "yes"
spec:
  clusterIP: None
  # Asked for its status when it is not ready, too.
  publishNotReadyAddresses: true
  selector:
    {{- include "crossfade.selector" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .name }}
  ports:
    - { name: http, port: {{ .port }}, targetPort: http, protocol: TCP }
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ $full }}
  labels:
    {{- include "crossfade.labels" .root | nindent 4 }}
    app.kubernetes.io/component: {{ .name }}
spec:
  serviceName: {{ $full }}
  replicas: 1
  podManagementPolicy: Parallel
  selector:
    matchLabels:
      {{- include "crossfade.selector" .root | nindent 6 }}
      app.kubernetes.io/component: {{ .name }}
  template:
    metadata:
      {{- include "crossfade.podMetadata" (dict "root" .root "component" .name) | nindent 6 }}
    spec:
      {{- include "crossfade.podSpec" .root | nindent 6 }}
      containers:
        - name: {{ .role }}
          args:
            {{- toYaml .flags | nindent 12 }}
            - --{{ .listen }}=0.0.0.0:{{ .port }}
            # Each page tells of both roles.
            {{- include "crossfade.addresses" (dict "root" .root "own" .listen) | trim | nindent 12 }}
            {{- with .values.extraArgs }}{{ toYaml . | nindent 12 }}{{ end }}
          ports:
            - { name: http, containerPort: {{ .port }}, protocol: TCP }
          {{- include "crossfade.container" .root | nindent 10 }}
          {{- include "crossfade.probes" .root | nindent 10 }}
          resources: {{- toYaml .values.resources | nindent 12 }}
      volumes:
        {{- include "crossfade.volumes" (dict "root" .root "spill" .values.spillSize) | nindent 8 }}
{{- end }}
