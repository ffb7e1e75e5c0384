{{/*
What the schema cannot say, or could not say clearly: a line for each value that cannot be used, with what it is and the cure.
*/}}
{{- define "axiom.problems.values" -}}
{{- $v := .Values -}}
{{- $n := .Release.Namespace -}}
{{- range $name, $image := $v.images }}
{{- if not (or (regexMatch "^[^\\s]+[:@][^/\\s]+$" $image) (and (eq $name "browser") (eq $image ""))) }}
images.{{ $name }} is {{ quote $image }}, which has neither a tag nor a digest: write it in full, such as registry.example/axiom:0.1.0
{{- end }}
{{- end }}

{{- range $i, $place := $v.operator.fetchAlso }}
{{- if not (regexMatch "^[0-9a-fA-F.:]+/[0-9]{1,3}:[0-9]{1,5}$" $place) }}
operator.fetchAlso[{{ $i }}] is {{ quote $place }}: write NETWORK:PORT with a network in numbers, such as 10.1.2.0/24:443
{{- end }}
{{- end }}
{{- with $v.operator.fetchCa }}
{{- if not (regexMatch "^\\s*-----BEGIN CERTIFICATE-----" .) }}
operator.fetchCa holds no certificate: give the text of a PEM file, such as --set-file operator.fetchCa=ca.crt, not its path
{{- end }}
{{- if contains "PRIVATE KEY" . }}
operator.fetchCa holds a private key, which every reader of a sandbox's pod would see: give certificates only
{{- end }}
{{- end }}

{{- range $i, $host := $v.egress.privateUpstreams }}
{{- if not (regexMatch "^[^,\\s/]+$" $host) }}
egress.privateUpstreams[{{ $i }}] is {{ quote $host }}: write a host's name or address alone, without scheme and path, such as model.team.svc
{{- end }}
{{- end }}
{{- range $i, $name := $v.egress.credentialSecrets }}
{{- if not (regexMatch "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$" $name) }}
egress.credentialSecrets[{{ $i }}] is {{ quote $name }}, which is no name of a Secret: write the name alone, without namespace and key
{{- end }}
{{- end }}

{{- with $v.objectStorage }}
{{- if and .endpoint (not (regexMatch "^https?://" .endpoint)) }}
objectStorage.endpoint is {{ quote .endpoint }}, which has no scheme: write https://{{ .endpoint }}
{{- else if and .endpoint (not (regexMatch "^https?://[^/\\s]+$" .endpoint)) }}
objectStorage.endpoint is {{ quote .endpoint }}: write scheme, host and port alone, such as https://s3.example:9000; the bucket goes into objectStorage.bucket
{{- end }}
{{- if and .endpoint (not .secretName) }}
objectStorage.secretName is empty, and an endpoint needs keys. Make a Secret and name it: kubectl -n {{ $n }} create secret generic evidence --from-literal=accessKey=… --from-literal=secretKey=…
{{- end }}
{{- if and .secretName (not .endpoint) }}
objectStorage.secretName is {{ quote .secretName }}, and objectStorage.endpoint is empty: evidence would go to the embedded server, whose keys the chart makes. Set the endpoint, or leave the name out
{{- end }}
{{- if and .caConfigMapName (not (hasPrefix "https://" .endpoint)) }}
objectStorage.caConfigMapName is {{ quote .caConfigMapName }}, and the endpoint is not https: there is no certificate to check. Write an endpoint with https, or leave the name out
{{- end }}
{{- if and .encryption.serverSide (not .endpoint) }}
objectStorage.encryption.serverSide is {{ quote .encryption.serverSide }}, and the embedded server cannot encrypt: set objectStorage.endpoint, or use objectStorage.encryption.keysSecretName
{{- else if and (eq .encryption.serverSide "aws:kms") (not .encryption.kmsKeyId) }}
objectStorage.encryption.kmsKeyId is empty, and aws:kms needs the id of a key
{{- else if and (eq .encryption.serverSide "aws:kms") (not (hasPrefix "https://" .endpoint)) }}
objectStorage.encryption.serverSide is aws:kms, which needs https, and objectStorage.endpoint is {{ quote .endpoint }}
{{- else if and .encryption.kmsKeyId (ne .encryption.serverSide "aws:kms") }}
objectStorage.encryption.kmsKeyId is {{ quote .encryption.kmsKeyId }}, and is for objectStorage.encryption.serverSide aws:kms alone: set that, or leave it out
{{- end }}
{{- if not (regexMatch "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$" .bucket) }}
objectStorage.bucket is {{ quote .bucket }}: write 3 to 63 small letters, digits, dots and -
{{- end }}
{{- if and .embedded.storageClassName (not .embedded.persistent) }}
objectStorage.embedded.storageClassName is {{ quote .embedded.storageClassName }}, and nothing is stored: set objectStorage.embedded.persistent to true, or leave it out
{{- end }}
{{- if and .embedded.persistent .endpoint }}
objectStorage.embedded.persistent is true, and objectStorage.endpoint is {{ quote .endpoint }}, so the chart runs no server: set one of them
{{- end }}
{{- end }}

{{- with $v.secrets }}
{{- if and .operatorChannel (not .gatewayChannel) }}
secrets.gatewayChannel is empty, and secrets.operatorChannel is {{ quote .operatorChannel }}: both certificates must be of one authority, so name both, or neither
{{- else if and .gatewayChannel (not .operatorChannel) }}
secrets.operatorChannel is empty, and secrets.gatewayChannel is {{ quote .gatewayChannel }}: both certificates must be of one authority, so name both, or neither
{{- end }}
{{- end }}

{{- $quantities := dict "gateway.scratch" $v.gateway.scratch "objectStorage.embedded.size" $v.objectStorage.embedded.size }}
{{- $owners := dict "operator" $v.operator "gateway" $v.gateway "egress" $v.egress "objectStorage.embedded" $v.objectStorage.embedded }}
{{- range $owner, $values := $owners }}
{{- range $kind, $amounts := $values.resources }}
{{- range $resource, $amount := $amounts }}
{{- if kindIs "string" $amount }}
{{- $_ := set $quantities (printf "%s.resources.%s.%s" $owner $kind $resource) $amount }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- range $field, $amount := $quantities }}
{{- if not (regexMatch "^[0-9]+([.][0-9]+)?(m|[KMGTPE]i|[kMGTPE])?$" $amount) }}
{{ $field }} is {{ quote $amount }}, which is no quantity: write a number with a unit, such as {{ ternary "500m" "8Gi" (hasSuffix ".cpu" $field) }}
{{- end }}
{{- end }}
{{- end -}}
