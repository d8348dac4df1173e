{{/* The entries of a mutating webhook. `name` is the revision or tag as namespaces are labelled with it;
`default` says whether it is what unlabelled names mean. */}}
{{- define "lateen.injection" -}}
{{- $never := dict "key" "sidecar.istio.io/inject" "operator" "NotIn" "values" (list "false") }}
{{- $always := dict "key" "sidecar.istio.io/inject" "operator" "In" "values" (list "true") }}
{{- $named := dict "key" "istio.io/rev" "operator" "In" "values" (list .name) }}
{{- $unnamed := dict "key" "istio.io/rev" "operator" "DoesNotExist" }}
{{- $enabled := dict "key" "istio-injection" "operator" "In" "values" (list "enabled") }}
{{- $unlabelled := dict "key" "istio-injection" "operator" "DoesNotExist" }}
{{- $silent := dict "key" "sidecar.istio.io/inject" "operator" "DoesNotExist" }}
{{- $ours := dict "key" "kubernetes.io/metadata.name" "operator" "NotIn" "values" (list "kube-system" "kube-public" "kube-node-lease" "local-path-storage") }}
{{- $entries := list (dict "name" "rev.namespace" "namespaces" (list $named $unlabelled) "objects" (list $never)) (dict "name" "rev.object" "namespaces" (list $unnamed $unlabelled) "objects" (list $never $named)) }}
{{- if .default }}
{{- $entries = append $entries (dict "name" "namespace" "namespaces" (list $enabled) "objects" (list $never)) }}
{{- $entries = append $entries (dict "name" "object" "namespaces" (list $unlabelled $unnamed) "objects" (list $always $unnamed)) }}
{{- if .root.Values.sidecarInjectorWebhook.enableNamespacesByDefault }}
{{- $entries = append $entries (dict "name" "auto" "namespaces" (list $unlabelled $unnamed $ours) "objects" (list $silent $unnamed)) }}
{{- end }}
{{- end }}
{{- $root := .root }}
{{- range $entries }}
- name: {{ .name }}.sidecar-injector.istio.io
  clientConfig:
    service:
      name: istiod{{ include "lateen.suffix" $root }}
      namespace: {{ include "lateen.namespace" $root }}
      path: /inject
      port: 443
  rules:
  - apiGroups: [""]
    apiVersions: [v1]
    operations: [CREATE]
    resources: [pods]
  namespaceSelector:
    matchExpressions: {{ toYaml .namespaces | nindent 4 }}
  objectSelector:
    matchExpressions: {{ toYaml .objects | nindent 4 }}
  failurePolicy: Fail
  reinvocationPolicy: Never
  sideEffects: None
  admissionReviewVersions: [v1]
{{- end }}
{{- end -}}

{{/* A validating webhook, which answers for objects that its selector chooses. Until the control plane
answers, nothing is refused; it then sets the policy itself, and what it set is kept. */}}
{{- define "lateen.validation" -}}
{{- $policy := "Ignore" }}
{{- range (lookup "admissionregistration.k8s.io/v1" "ValidatingWebhookConfiguration" "" .name).webhooks }}
{{- $policy = .failurePolicy }}
{{- end }}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata:
  name: {{ .name }}
  labels: {{ include "lateen.labels" .root | nindent 4 }}
    app: istiod
    istio: istiod
webhooks:
- name: {{ .webhook }}
  clientConfig:
    service:
      name: istiod{{ include "lateen.suffix" .root }}
      namespace: {{ include "lateen.namespace" .root }}
      path: /validate
      port: 443
  rules:
  - apiGroups: [security.istio.io, networking.istio.io, telemetry.istio.io, extensions.istio.io]
    apiVersions: ["*"]
    operations: [CREATE, UPDATE]
    resources: ["*"]
  objectSelector:
    matchExpressions: {{ list .selector | toYaml | nindent 4 }}
  failurePolicy: {{ $policy }}
  sideEffects: None
  admissionReviewVersions: [v1]
{{- end -}}
