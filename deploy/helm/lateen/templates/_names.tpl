{{/* What every name of a revision ends in. */}}
{{- define "lateen.suffix" -}}
{{ with .Values.revision }}-{{ . }}{{ end }}
{{- end -}}

{{- define "lateen.revision" -}}
{{ default "default" .Values.revision }}
{{- end -}}

{{/* The namespace of the control plane. */}}
{{- define "lateen.namespace" -}}
{{ default .Release.Namespace .Values.global.istioNamespace }}
{{- end -}}

{{/* Names of objects that belong to no namespace. */}}
{{- define "lateen.clusterName" -}}
lateen-istiod{{ include "lateen.suffix" . }}-{{ include "lateen.namespace" . }}
{{- end -}}

{{/* What the mutating webhook's name ends in besides the revision, as in Istio. */}}
{{- define "lateen.elsewhere" -}}
{{ $namespace := include "lateen.namespace" . }}{{ if ne $namespace "istio-system" }}-{{ $namespace }}{{ end }}
{{- end -}}

{{- define "lateen.labels" -}}
app.kubernetes.io/part-of: lateen
app.kubernetes.io/name: lateen
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
istio.io/rev: {{ include "lateen.revision" . }}
{{- end -}}

{{/* How the control plane's pods are found: as Istio's are, so that its clients find ours. */}}
{{- define "lateen.selector" -}}
app: istiod
{{- if .Values.revision }}
istio.io/rev: {{ .Values.revision }}
{{- else }}
istio: pilot
{{- end }}
{{- end -}}

{{/* An image: a name of the hub, or all of it where it has a slash. */}}
{{- define "lateen.image" -}}
{{- if contains "/" .image -}}
{{ .image }}
{{- else -}}
{{ .root.Values.global.hub }}/{{ .image }}:{{ .root.Values.global.tag }}
{{- end -}}
{{- end -}}

{{- define "lateen.pullSecrets" -}}
{{- with .Values.global.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Where pods run. */}}
{{- define "lateen.placement" -}}
{{- with .nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{ toYaml . | nindent 0 }}
{{- end }}
{{- with .affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .topologySpreadConstraints }}
topologySpreadConstraints: {{ toYaml . | nindent 0 }}
{{- end }}
{{- end -}}

{{/* What a container may: nothing, as the restricted pod security standard asks. */}}
{{- define "lateen.securityContext" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
privileged: false
readOnlyRootFilesystem: true
runAsGroup: 1337
runAsNonRoot: true
runAsUser: 1337
{{- end -}}
