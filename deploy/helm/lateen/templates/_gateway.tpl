{{/* A gateway's proxy: what the injection template `gateway` makes, written out, so that a gateway comes up
without waiting for the webhook. */}}
{{- define "lateen.gatewayContainer" -}}
{{- $global := .root.Values.global }}
{{- $engine := default .root.Values.proxy.engine .gateway.engine }}
{{- $namespace := include "lateen.namespace" .root }}
{{- $discovery := printf "istiod%s.%s.svc:15012" (include "lateen.suffix" .root) $namespace }}
{{- $trustDomain := default "cluster.local" .root.Values.meshConfig.trustDomain }}
{{- $level := ternary "warn" $global.proxy.logLevel (eq $global.proxy.logLevel "warning") }}
{{- $config := deepCopy (default dict .root.Values.meshConfig.defaultConfig) }}
{{- if and (not $config.discoveryAddress) (ne $discovery "istiod.istio-system.svc:15012") }}
{{- $_ := set $config "discoveryAddress" $discovery }}
{{- end }}
{{- $ports := list }}
{{- range .gateway.ports }}
{{- $ports = append $ports (dict "name" .name "containerPort" .targetPort "protocol" (default "TCP" .protocol)) }}
{{- end }}
- name: istio-proxy
  image: {{ include "lateen.image" (dict "root" .root "image" (ternary $global.proxy.envoyImage $global.proxy.image (eq $engine "envoy"))) | quote }}
  imagePullPolicy: {{ $global.imagePullPolicy }}
  args: [router]
  env:
  - {name: LATEEN_ENGINE, value: {{ $engine }}}
  {{- if eq $engine "envoy" }}
  - {name: LATEEN_LOG, value: info}
  - {name: LATEEN_ENVOY_LOG_LEVEL, value: {{ $global.proxy.logLevel }}}
  {{- else }}
  - {name: LATEEN_LOG, value: {{ $level }}}
  {{- end }}
  - {name: PILOT_CERT_PROVIDER, value: istiod}
  - {name: CA_ADDR, value: {{ default $discovery $global.caAddress | quote }}}
  - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
  - {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
  - {name: INSTANCE_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
  - {name: SERVICE_ACCOUNT, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}}
  - {name: HOST_IP, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}
  - {name: ISTIO_META_NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
  - {name: ISTIO_CPU_LIMIT, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}
  - {name: PROXY_CONFIG, value: {{ toJson $config | quote }}}
  - {name: ISTIO_META_POD_PORTS, value: {{ toJson $ports | quote }}}
  - {name: ISTIO_META_APP_CONTAINERS, value: ""}
  - {name: ISTIO_META_CLUSTER_ID, value: {{ $global.multiCluster.clusterName | quote }}}
  - {name: ISTIO_META_INTERCEPTION_MODE, value: REDIRECT}
  {{- with $global.network }}
  - {name: ISTIO_META_NETWORK, value: {{ . | quote }}}
  {{- end }}
  - {name: ISTIO_META_WORKLOAD_NAME, value: {{ .name | quote }}}
  - {name: ISTIO_META_OWNER, value: {{ printf "kubernetes://apis/apps/v1/namespaces/%s/deployments/%s" $namespace .name | quote }}}
  - {name: ISTIO_META_MESH_ID, value: {{ default $trustDomain $global.meshID | quote }}}
  - {name: TRUST_DOMAIN, value: {{ $trustDomain | quote }}}
  {{- range $name, $value := $config.proxyMetadata }}
  - {name: {{ $name }}, value: {{ $value | quote }}}
  {{- end }}
  {{- range $name, $value := .gateway.env }}
  - {name: {{ $name }}, value: {{ $value | quote }}}
  {{- end }}
  ports:
  {{- range $ports }}
  - {{ toJson . }}
  {{- end }}
  - {name: http-envoy-prom, containerPort: 15090, protocol: TCP}
  readinessProbe:
    httpGet: {path: /healthz/ready, port: 15021}
    periodSeconds: {{ $global.proxy.readinessPeriodSeconds }}
    timeoutSeconds: 3
    failureThreshold: {{ $global.proxy.readinessFailureThreshold }}
  startupProbe:
    httpGet: {path: /healthz/ready, port: 15021}
    periodSeconds: 1
    timeoutSeconds: 3
    failureThreshold: {{ default 600 $global.proxy.startupProbe.failureThreshold }}
  resources: {{ toYaml .gateway.resources | nindent 4 }}
  securityContext: {{ include "lateen.securityContext" .root | nindent 4 }}
  volumeMounts:
  - {name: workload-socket, mountPath: /var/run/secrets/workload-spiffe-uds}
  - {name: credential-socket, mountPath: /var/run/secrets/credential-uds}
  - {name: workload-certs, mountPath: /var/run/secrets/workload-spiffe-credentials}
  - {name: istiod-ca-cert, mountPath: /var/run/secrets/istio}
  - {name: istio-data, mountPath: /var/lib/istio/data}
  - {name: istio-envoy, mountPath: /etc/istio/proxy}
  - {name: istio-token, mountPath: /var/run/secrets/tokens}
  - {name: istio-podinfo, mountPath: /etc/istio/pod}
{{- end -}}

{{- define "lateen.gatewayVolumes" -}}
- {name: workload-socket, emptyDir: {}}
- {name: credential-socket, emptyDir: {}}
- {name: workload-certs, emptyDir: {}}
- {name: istio-envoy, emptyDir: {medium: Memory}}
- {name: istio-data, emptyDir: {}}
- name: istio-podinfo
  downwardAPI:
    items:
    - {path: labels, fieldRef: {fieldPath: metadata.labels}}
    - {path: annotations, fieldRef: {fieldPath: metadata.annotations}}
- name: istio-token
  projected:
    sources:
    - serviceAccountToken: {audience: istio-ca, expirationSeconds: 43200, path: istio-token}
- {name: istiod-ca-cert, configMap: {name: istio-ca-root-cert}}
{{- end -}}

{{/* How a gateway's pods are found: its own revision's only. */}}
{{- define "lateen.gatewaySelector" -}}
app: {{ .app }}
{{- range $name, $value := .gateway.labels }}
{{ $name }}: {{ $value | quote }}
{{- end }}
istio.io/rev: {{ include "lateen.revision" .root }}
{{- end -}}
