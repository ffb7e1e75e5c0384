{{/*
What the cluster's definitions lack of this chart's: a line for each. Helm installs definitions once and never upgrades them;
the API server would drop, without a word, what a newer operator writes into fields that are not defined.

Nothing where there is no cluster to ask, or no definition yet.
*/}}
{{- define "axiom.problems.definitions" -}}
{{- range $path, $_ := .Files.Glob "crds/*.yaml" }}
{{- $ours := $.Files.Get $path | fromYaml }}
{{- with lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" $ours.metadata.name }}
{{- $theirs := dict }}
{{- range .spec.versions }}
{{- $_ := set $theirs .name .schema.openAPIV3Schema }}
{{- end }}
{{- range $ours.spec.versions }}
{{- if hasKey $theirs .name }}
{{- include "axiom.schema.missing" (list .schema.openAPIV3Schema (get $theirs .name) (printf "%s %s" $ours.metadata.name .name)) }}
{{- else }}
{{ $ours.metadata.name }} {{ .name }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Fields and allowed values of one schema that another lacks; call with (list schema other path). */}}
{{- define "axiom.schema.missing" -}}
{{- $ours := index . 0 -}}
{{- $theirs := index . 1 -}}
{{- $path := index . 2 -}}
{{- range $name, $schema := ($ours.properties | default dict) }}
{{- if hasKey ($theirs.properties | default dict) $name }}
{{- include "axiom.schema.missing" (list $schema (get $theirs.properties $name) (printf "%s.%s" $path $name)) }}
{{- else }}
{{ $path }}.{{ $name }}
{{- end }}
{{- end }}
{{- range $key := list "items" "additionalProperties" }}
{{- $schema := get $ours $key }}
{{- if kindIs "map" $schema }}
{{- $other := get $theirs $key }}
{{- include "axiom.schema.missing" (list $schema (ternary $other dict (kindIs "map" $other)) (printf "%s[]" $path)) }}
{{- end }}
{{- end }}
{{- if hasKey $theirs "enum" }}
{{- range ($ours.enum | default list) }}
{{- if not (has . $theirs.enum) }}
{{ $path }}={{ . }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
