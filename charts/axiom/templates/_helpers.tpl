{{/* Name of everything of a release: its name, with the chart's in it. */}}
{{- define "axiom.fullname" -}}
{{- if contains "axiom" .Release.Name -}}
{{- .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-axiom" .Release.Name | trunc 48 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels of a component's objects; call with (list . "component"). */}}
{{- define "axiom.labels" -}}
{{- $root := index . 0 -}}
{{ include "axiom.selector" . }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/part-of: axiom
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end -}}

{{/* Labels by which a component's pods are found. The NetworkPolicies of sandboxes rely on name and component. */}}
{{- define "axiom.selector" -}}
app.kubernetes.io/name: axiom
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* What every pod of the control plane has in common; call with (list . "component" needsApi). */}}
{{- define "axiom.pod" -}}
{{- $root := index . 0 -}}
serviceAccountName: {{ include "axiom.fullname" $root }}-{{ index . 1 }}
automountServiceAccountToken: {{ index . 2 }}
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- with $root.Values.pods }}
{{- with .imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{ toJson . }}
{{- end }}
{{- with .tolerations }}
tolerations: {{ toJson . }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}
topologySpreadConstraints:
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "axiom.selector" (list $root (index . 1)) | nindent 6 }}
{{- end -}}

{{/* securityContext of every container. */}}
{{- define "axiom.container" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
privileged: false
readOnlyRootFilesystem: true
{{- end -}}

{{/* Pod annotations for Prometheus; call with the port. */}}
{{- define "axiom.scrape" -}}
prometheus.io/scrape: "true"
prometheus.io/port: {{ . | quote }}
prometheus.io/path: /metrics
{{- end -}}

{{- define "axiom.secret.operatorChannel" -}}
{{ .Values.secrets.operatorChannel | default (printf "%s-operator-channel" (include "axiom.fullname" .)) }}
{{- end -}}
{{- define "axiom.secret.gatewayChannel" -}}
{{ .Values.secrets.gatewayChannel | default (printf "%s-gateway-channel" (include "axiom.fullname" .)) }}
{{- end -}}
{{- define "axiom.secret.tokenKeys" -}}
{{ .Values.secrets.tokenKeys | default (printf "%s-token-keys" (include "axiom.fullname" .)) }}
{{- end -}}
{{- define "axiom.secret.storage" -}}
{{- if .Values.objectStorage.endpoint -}}
{{ .Values.objectStorage.secretName }}
{{- else -}}
{{ include "axiom.fullname" . }}-storage
{{- end -}}
{{- end -}}

{{- define "axiom.storage.endpoint" -}}
{{ .Values.objectStorage.endpoint | default (printf "http://%s-storage:7070" (include "axiom.fullname" .)) }}
{{- end -}}

{{/* Port of the S3 server. */}}
{{- define "axiom.storage.port" -}}
{{- $url := urlParse (include "axiom.storage.endpoint" .) -}}
{{- $port := regexFind ":[0-9]+$" $url.host | trimPrefix ":" -}}
{{- $port | default (ternary "443" "80" (eq $url.scheme "https")) -}}
{{- end -}}

{{/* The user that the operator is for the API server. */}}
{{- define "axiom.operatorUser" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "axiom.fullname" . }}-operator
{{- end -}}

{{/* A NetworkPolicy's way out to names and to the API server, whose addresses no selector can name. */}}
{{- define "axiom.network.basics" -}}
- ports:
  - {protocol: UDP, port: 53}
  - {protocol: TCP, port: 53}
{{- range .Values.networkPolicies.apiServerPorts }}
  - {protocol: TCP, port: {{ . }}}
{{- end }}
{{- end -}}

{{/* Selects sandboxes in every namespace. */}}
{{- define "axiom.network.sandboxes" -}}
- namespaceSelector: {}
  podSelector:
    matchLabels: {app.kubernetes.io/managed-by: axiom}
    matchExpressions:
    - {key: axiom.dev/role, operator: Exists}
{{- end -}}

{{/* A NetworkPolicy's way to the object storage. */}}
{{- define "axiom.network.storage" -}}
{{- if .Values.objectStorage.endpoint -}}
- ports:
  - {protocol: TCP, port: {{ include "axiom.storage.port" . }}}
{{- else -}}
- to:
  - podSelector:
      matchLabels: {{- include "axiom.selector" (list . "storage") | nindent 8 }}
  ports:
  - {protocol: TCP, port: 7070}
{{- end -}}
{{- end -}}

{{/* Variables that say where the object storage is, and open it. */}}
{{- define "axiom.storage.environment" -}}
- {name: AXIOM_S3_ENDPOINT, value: {{ include "axiom.storage.endpoint" . | quote }}}
- {name: AXIOM_S3_BUCKET, value: {{ .Values.objectStorage.bucket | quote }}}
- {name: AXIOM_S3_REGION, value: {{ .Values.objectStorage.region | quote }}}
- {name: AXIOM_S3_CREATE_BUCKET, value: {{ empty .Values.objectStorage.endpoint | quote }}}
- {name: AXIOM_S3_CREDENTIALS, value: /etc/axiom/storage-keys}
{{- if .Values.objectStorage.caConfigMapName }}
- {name: AXIOM_S3_CA, value: /etc/axiom/storage/ca.crt}
{{- end }}
{{- with .Values.objectStorage.encryption.serverSide }}
- {name: AXIOM_S3_ENCRYPTION, value: {{ quote . }}}
- {name: AXIOM_S3_KMS_KEY, value: {{ quote $.Values.objectStorage.encryption.kmsKeyId }}}
{{- end }}
{{- end -}}

{{/* Where the keys of namespaces lie, for whoever reads evidence; its mount and its volume. Nothing without a Secret of them. */}}
{{- define "axiom.keyring.environment" -}}
{{- if .Values.objectStorage.encryption.keysSecretName }}
- {name: AXIOM_S3_KEYRING, value: /etc/axiom/keyring}
{{- end }}
{{- end -}}
{{- define "axiom.keyring.mount" -}}
{{- if .Values.objectStorage.encryption.keysSecretName }}
- {name: keyring, mountPath: /etc/axiom/keyring, readOnly: true}
{{- end }}
{{- end -}}
{{- define "axiom.keyring.volume" -}}
{{- with .Values.objectStorage.encryption.keysSecretName }}
- name: keyring
  secret: {secretName: {{ . }}, defaultMode: 0440}
{{- end }}
{{- end -}}

{{/* Annotations of what exists while `helm test` runs; call with the weight. A pod that failed stays, to be looked at. */}}
{{- define "axiom.test.hook" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
