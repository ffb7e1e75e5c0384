{{/* A NetworkPolicy's way in to a metrics port; call with (list . port). */}}
{{- define "axiom.network.metrics" -}}
- ports:
  - {protocol: TCP, port: {{ index . 1 }}}
  {{- with (index . 0).Values.monitoring.scrapeFrom }}
  from: {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
