//! Labels, annotations and names of Istio's contract with pods.

/// The label, and before it the annotation, that asks for a sidecar or refuses one.
pub const INJECT: &str = "sidecar.istio.io/inject";
/// The label of namespaces that asks for injection by the default revision.
pub const NAMESPACE_INJECTION: &str = "istio-injection";
/// The label and annotation with the revision.
pub const REVISION: &str = "istio.io/rev";
/// The revision that has no name.
pub const DEFAULT_REVISION: &str = "default";
/// Which templates are applied, separated by commas.
pub const TEMPLATES: &str = "inject.istio.io/templates";
/// What was injected.
pub const STATUS: &str = "sidecar.istio.io/status";
/// The containers as their user wrote them, where a template has a container of the same name.
pub const OVERRIDES: &str = "proxy.istio.io/overrides";
/// Settings of the pod's proxy: ProxyConfig as YAML.
pub const PROXY_CONFIG: &str = "proxy.istio.io/config";
/// Which data plane: `native` or `envoy`.
pub const ENGINE: &str = "lateen.dev/engine";
/// Whether the sidecar is an init container that stays.
pub const NATIVE_SIDECAR: &str = "sidecar.istio.io/nativeSidecar";
/// The proxy's whole image.
pub const PROXY_IMAGE: &str = "sidecar.istio.io/proxyImage";
/// The proxy's log level.
pub const LOG_LEVEL: &str = "sidecar.istio.io/logLevel";
/// The log level of Istio's agent.
pub const AGENT_LOG_LEVEL: &str = "sidecar.istio.io/agentLogLevel";
/// An older way to name the control plane.
pub const DISCOVERY_ADDRESS: &str = "sidecar.istio.io/discoveryAddress";
/// The config map with a bootstrap of the user's own.
pub const BOOTSTRAP_OVERRIDE: &str = "sidecar.istio.io/bootstrapOverride";
/// Further volumes, JSON by name.
pub const USER_VOLUME: &str = "sidecar.istio.io/userVolume";
/// Where the proxy mounts them, JSON by name.
pub const USER_VOLUME_MOUNT: &str = "sidecar.istio.io/userVolumeMount";
/// Whether the proxy may listen below 1024.
pub const NET_BIND_SERVICE: &str = "sidecar.istio.io/capNetBindService";
/// Whether probes of the application go through the proxy.
pub const REWRITE_PROBES: &str = "sidecar.istio.io/rewriteAppHTTPProbers";
/// The port for health, merged metrics and probes; 0: none.
pub const STATUS_PORT: &str = "status.sidecar.istio.io/port";
/// Whether the application's metrics are merged with the proxy's.
pub const MERGE_METRICS: &str = "prometheus.istio.io/merge-metrics";
/// Requests and limits of the proxy.
pub const PROXY_CPU: &str = "sidecar.istio.io/proxyCPU";
/// See [`PROXY_CPU`].
pub const PROXY_MEMORY: &str = "sidecar.istio.io/proxyMemory";
/// See [`PROXY_CPU`].
pub const PROXY_CPU_LIMIT: &str = "sidecar.istio.io/proxyCPULimit";
/// See [`PROXY_CPU`].
pub const PROXY_MEMORY_LIMIT: &str = "sidecar.istio.io/proxyMemoryLimit";
/// How connections get to the proxy.
pub const INTERCEPTION_MODE: &str = "sidecar.istio.io/interceptionMode";
/// Interfaces of virtual machines in the pod.
pub const REROUTE_INTERFACES: &str = "istio.io/reroute-virtual-interfaces";
/// The older name of [`REROUTE_INTERFACES`].
pub const KUBEVIRT_INTERFACES: &str = "traffic.sidecar.istio.io/kubevirtInterfaces";
/// What is captured, and what is not.
pub const INCLUDE_OUTBOUND_RANGES: &str = "traffic.sidecar.istio.io/includeOutboundIPRanges";
/// See [`INCLUDE_OUTBOUND_RANGES`].
pub const EXCLUDE_OUTBOUND_RANGES: &str = "traffic.sidecar.istio.io/excludeOutboundIPRanges";
/// See [`INCLUDE_OUTBOUND_RANGES`].
pub const INCLUDE_INBOUND_PORTS: &str = "traffic.sidecar.istio.io/includeInboundPorts";
/// See [`INCLUDE_OUTBOUND_RANGES`].
pub const EXCLUDE_INBOUND_PORTS: &str = "traffic.sidecar.istio.io/excludeInboundPorts";
/// See [`INCLUDE_OUTBOUND_RANGES`].
pub const INCLUDE_OUTBOUND_PORTS: &str = "traffic.sidecar.istio.io/includeOutboundPorts";
/// See [`INCLUDE_OUTBOUND_RANGES`].
pub const EXCLUDE_OUTBOUND_PORTS: &str = "traffic.sidecar.istio.io/excludeOutboundPorts";
/// See [`INCLUDE_OUTBOUND_RANGES`].
pub const EXCLUDE_INTERFACES: &str = "traffic.sidecar.istio.io/excludeInterfaces";
/// When the proxy counts as ready.
pub const READINESS_DELAY: &str = "readiness.status.sidecar.istio.io/initialDelaySeconds";
/// See [`READINESS_DELAY`].
pub const READINESS_PERIOD: &str = "readiness.status.sidecar.istio.io/periodSeconds";
/// See [`READINESS_DELAY`].
pub const READINESS_FAILURES: &str = "readiness.status.sidecar.istio.io/failureThreshold";
/// Networks of Multus.
pub const MULTUS_NETWORKS: &str = "k8s.v1.cni.cncf.io/networks";
/// The pod's network.
pub const NETWORK: &str = "topology.istio.io/network";
/// Whether the workload speaks mutual TLS.
pub const TLS_MODE: &str = "security.istio.io/tlsMode";
/// The workload's name, where it is not its owner's.
pub const WORKLOAD_NAME: &str = "service.istio.io/workload-name";
/// The service that a workload counts for in telemetry.
pub const CANONICAL_NAME: &str = "service.istio.io/canonical-name";
/// Its version.
pub const CANONICAL_REVISION: &str = "service.istio.io/canonical-revision";
/// The container that kubectl takes without being told one.
pub const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";
/// The same for logs, before that.
pub const DEFAULT_LOGS_CONTAINER: &str = "kubectl.kubernetes.io/default-logs-container";

/// The proxy's container.
pub const PROXY: &str = "istio-proxy";
/// The init container that applies the capture's rules.
pub const INIT: &str = "istio-init";
/// The init container that looks whether the CNI plugin did.
pub const VALIDATION: &str = "istio-validation";

/// The environment variable with the application's probes, by path.
pub const PROBERS: &str = "ISTIO_KUBE_APP_PROBERS";
/// The environment variable with the application's scrape annotations.
pub const PROMETHEUS: &str = "ISTIO_PROMETHEUS_ANNOTATIONS";

/// The image of a container that stands in the pod only to be changed: "the injected one".
pub const AUTO_IMAGE: &str = "auto";

/// Namespaces of Kubernetes itself, whose pods are never injected.
pub const IGNORED_NAMESPACES: [&str; 4] =
    ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];
