//! The kinds of objects that belong to the mesh's language.

use std::fmt;

/// Whether objects of a kind live in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In the cluster as a whole.
    Cluster,
}

/// How far Lateen supports a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Support {
    /// Decoded, checked and acted on, field by field as the account says.
    Honoured,
    /// Decoded, checked and reported, but without an effect yet, or only one that fails closed.
    Read,
    /// Known by name, read to its metadata and reported.
    NotYet,
}

macro_rules! kinds {
    ($(
        $(#[doc = $doc:literal])*
        $kind:ident = $group:literal $name:literal [$($version:literal),+] $scope:ident $support:ident;
    )*) => {
        /// A kind of object.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $( $(#[doc = $doc])* $kind, )*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &'static [Kind] = &[$( Kind::$kind, )*];

            /// The name that users write under `kind`.
            pub fn name(self) -> &'static str {
                match self { $( Kind::$kind => $name, )* }
            }

            /// The API group; empty for Kubernetes' core.
            pub fn group(self) -> &'static str {
                match self { $( Kind::$kind => $group, )* }
            }

            /// The versions in which the kind is read, the preferred one first.
            pub fn versions(self) -> &'static [&'static str] {
                match self { $( Kind::$kind => &[$($version),+], )* }
            }

            /// Whether its objects live in a namespace.
            pub fn scope(self) -> Scope {
                match self { $( Kind::$kind => Scope::$scope, )* }
            }

            /// How far Lateen supports it.
            pub fn support(self) -> Support {
                match self { $( Kind::$kind => Support::$support, )* }
            }
        }
    };
}

kinds! {
    /// How requests to a host are routed.
    VirtualService = "networking.istio.io" "VirtualService" ["v1", "v1beta1", "v1alpha3"] Namespaced Honoured;
    /// How a destination is talked to.
    DestinationRule = "networking.istio.io" "DestinationRule" ["v1", "v1beta1", "v1alpha3"] Namespaced Honoured;
    /// What a gateway listens on.
    Gateway = "networking.istio.io" "Gateway" ["v1", "v1beta1", "v1alpha3"] Namespaced Honoured;
    /// A service that no Kubernetes Service describes.
    ServiceEntry = "networking.istio.io" "ServiceEntry" ["v1", "v1beta1", "v1alpha3"] Namespaced Honoured;
    /// A workload that is no pod.
    WorkloadEntry = "networking.istio.io" "WorkloadEntry" ["v1", "v1beta1", "v1alpha3"] Namespaced Honoured;
    /// What a workload's sidecar needs to know.
    Sidecar = "networking.istio.io" "Sidecar" ["v1", "v1beta1", "v1alpha3"] Namespaced Honoured;
    /// Which encryption a workload demands from its callers.
    PeerAuthentication = "security.istio.io" "PeerAuthentication" ["v1", "v1beta1"] Namespaced Honoured;
    /// Who may call a workload.
    AuthorizationPolicy = "security.istio.io" "AuthorizationPolicy" ["v1", "v1beta1"] Namespaced Honoured;
    /// The settings of the mesh; not an object of its own but the key `mesh` of a ConfigMap.
    MeshConfig = "mesh.istio.io" "MeshConfig" ["v1alpha1"] Cluster Honoured;

    /// A service.
    Service = "" "Service" ["v1"] Namespaced Honoured;
    /// Addresses of a service's endpoints.
    EndpointSlice = "discovery.k8s.io" "EndpointSlice" ["v1"] Namespaced Honoured;
    /// A pod.
    Pod = "" "Pod" ["v1"] Namespaced Honoured;
    /// A namespace.
    Namespace = "" "Namespace" ["v1"] Cluster Honoured;
    /// Keys and certificates.
    Secret = "" "Secret" ["v1"] Namespaced Honoured;
    /// Settings; the mesh's own are in the one named `istio`.
    ConfigMap = "" "ConfigMap" ["v1"] Namespaced Honoured;

    /// Patches of Envoy's configuration.
    EnvoyFilter = "networking.istio.io" "EnvoyFilter" ["v1alpha3"] Namespaced Read;
    /// Settings of a workload's proxy.
    ProxyConfig = "networking.istio.io" "ProxyConfig" ["v1beta1"] Namespaced Honoured;
    /// A template for workloads that register themselves.
    WorkloadGroup = "networking.istio.io" "WorkloadGroup" ["v1", "v1beta1", "v1alpha3"] Namespaced Read;
    /// Which tokens a workload accepts.
    RequestAuthentication = "security.istio.io" "RequestAuthentication" ["v1", "v1beta1"] Namespaced Read;
    /// What is measured, logged and traced.
    Telemetry = "telemetry.istio.io" "Telemetry" ["v1", "v1alpha1"] Namespaced Read;
    /// An extension in WebAssembly.
    WasmPlugin = "extensions.istio.io" "WasmPlugin" ["v1alpha1"] Namespaced Read;
    /// An extension in WebAssembly or Lua.
    TrafficExtension = "extensions.istio.io" "TrafficExtension" ["v1alpha1"] Namespaced Read;

    /// Gateway API: what a gateway listens on.
    GatewayApiGateway = "gateway.networking.k8s.io" "Gateway" ["v1", "v1beta1", "v1alpha2"] Namespaced NotYet;
    /// Gateway API: which implementation serves gateways.
    GatewayClass = "gateway.networking.k8s.io" "GatewayClass" ["v1", "v1beta1", "v1alpha2"] Cluster NotYet;
    /// Gateway API: routes for HTTP.
    HttpRoute = "gateway.networking.k8s.io" "HTTPRoute" ["v1", "v1beta1", "v1alpha2"] Namespaced NotYet;
    /// Gateway API: routes for gRPC.
    GrpcRoute = "gateway.networking.k8s.io" "GRPCRoute" ["v1", "v1alpha2"] Namespaced NotYet;
    /// Gateway API: routes for TLS by server name.
    TlsRoute = "gateway.networking.k8s.io" "TLSRoute" ["v1", "v1alpha3", "v1alpha2"] Namespaced NotYet;
    /// Gateway API: routes for TCP.
    TcpRoute = "gateway.networking.k8s.io" "TCPRoute" ["v1", "v1alpha2"] Namespaced NotYet;
    /// Gateway API: routes for UDP.
    UdpRoute = "gateway.networking.k8s.io" "UDPRoute" ["v1", "v1alpha2"] Namespaced NotYet;
    /// Gateway API: leave to refer to another namespace.
    ReferenceGrant = "gateway.networking.k8s.io" "ReferenceGrant" ["v1", "v1beta1", "v1alpha2"] Namespaced NotYet;
    /// Gateway API: TLS towards backends.
    BackendTlsPolicy = "gateway.networking.k8s.io" "BackendTLSPolicy" ["v1", "v1alpha3", "v1alpha2"] Namespaced NotYet;
    /// Gateway API: listeners apart from their gateway.
    ListenerSet = "gateway.networking.k8s.io" "ListenerSet" ["v1"] Namespaced NotYet;
    /// Gateway API, experimental: listeners apart from their gateway.
    XListenerSet = "gateway.networking.x-k8s.io" "XListenerSet" ["v1alpha1"] Namespaced NotYet;
    /// Gateway API, experimental: traffic towards backends.
    XBackendTrafficPolicy = "gateway.networking.x-k8s.io" "XBackendTrafficPolicy" ["v1alpha1"] Namespaced NotYet;
    /// Kubernetes' own routes from outside.
    Ingress = "networking.k8s.io" "Ingress" ["v1"] Namespaced NotYet;
    /// Which implementation serves Ingresses.
    IngressClass = "networking.k8s.io" "IngressClass" ["v1"] Cluster NotYet;
    /// A node: where it is, by its labels.
    Node = "" "Node" ["v1"] Cluster Honoured;
    /// Kubernetes' former form of EndpointSlice.
    Endpoints = "" "Endpoints" ["v1"] Namespaced NotYet;
}

impl Kind {
    /// The kind that an API group and a name stand for.
    pub fn find(group: &str, name: &str) -> Option<Kind> {
        Kind::ALL.iter().copied().find(|kind| kind.name() == name && kind.group() == group)
    }

    /// The name under which the API server lists its objects: `virtualservices`.
    pub fn plural(self) -> String {
        let name = self.name().to_lowercase();
        if self == Kind::Endpoints {
            return name;
        }
        let ends = |ending: &str| name.strip_suffix(ending).map(str::to_owned);
        match (ends("ay"), ends("y"), ends("s")) {
            (None, Some(stem), _) => stem + "ies",
            (_, _, Some(_)) => name + "es",
            _ => name + "s",
        }
    }

    /// The preferred `apiVersion`, `networking.istio.io/v1`.
    pub fn api_version(self) -> String {
        let version = self.versions().first().copied().unwrap_or("v1");
        match self.group() {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        }
    }
}

/// The name; the one of the Gateway API's Gateway says so, since Istio has a Gateway too.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::GatewayApiGateway => f.write_str("gateway.networking.k8s.io/Gateway"),
            kind => f.write_str(kind.name()),
        }
    }
}
