//! EnvoyFilter: patches of Envoy's configuration.

use std::collections::BTreeMap;

use crate::message::{Struct, enumeration, message, oneof};
use crate::networking::WorkloadSelector;
use crate::security::PolicyTargetReference;

message! {
    /// Patches of Envoy's configuration.
    pub struct EnvoyFilter [
        Holds(
            "(has(self.workloadSelector) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1",
            "only one of targetRefs or workloadSelector can be set"
        ),
    ] {
        /// The workloads, in this namespace. The default is all; in the root namespace, all of the
        /// mesh.
        workload_selector: Option<WorkloadSelector>, pending;
        /// The objects that this is attached to. Excludes `workloadSelector`.
        target_refs: Vec<PolicyTargetReference>, pending, MaxItems(16);
        /// The patches, in this order.
        config_patches: Vec<EnvoyConfigObjectPatch>, pending;
        /// The order among EnvoyFilters: lower ones first.
        priority: i32, pending;
    }

    /// A patch.
    pub struct EnvoyConfigObjectPatch {
        /// What kind of thing is patched.
        apply_to: ApplyTo, pending;
        /// Which of them.
        r#match: Option<EnvoyConfigObjectMatch>, pending;
        /// What is done.
        patch: Option<EnvoyPatch>, pending;
    }

    /// Some things of Envoy's configuration: everything that is set must hold.
    pub struct EnvoyConfigObjectMatch {
        /// For whose traffic.
        context: PatchContext, pending;
        /// Which proxies.
        proxy: Option<ProxyMatch>, pending;
        /// Which things.
        object_types: Option<EnvoyObjectMatch>, oneof;
    }

    /// Some proxies.
    pub struct ProxyMatch {
        /// A regular expression for the version.
        proxy_version: String, pending;
        /// What the proxy's metadata must say.
        metadata: BTreeMap<String, String>, pending;
    }

    /// Some listeners.
    pub struct EnvoyListenerMatch {
        /// The port.
        port_number: u32, pending;
        /// Not looked at by Istio either.
        port_name: String, pending;
        /// The filter chain.
        filter_chain: Option<EnvoyFilterChainMatch>, pending;
        /// The listener filter.
        listener_filter: String, pending;
        /// The listener's name.
        name: String, pending;
    }

    /// Some filter chains.
    pub struct EnvoyFilterChainMatch {
        /// The name.
        name: String, pending;
        /// The server name.
        sni: String, pending;
        /// `raw_buffer` or `tls`.
        transport_protocol: String, pending;
        /// Application protocols, separated by commas.
        application_protocols: String, pending;
        /// The filter.
        filter: Option<EnvoyFilterMatch>, pending;
        /// The destination's port.
        destination_port: u32, pending;
    }

    /// A filter.
    pub struct EnvoyFilterMatch {
        /// Its name.
        name: String, pending;
        /// A filter inside it.
        sub_filter: Option<EnvoySubFilterMatch>, pending;
    }

    /// A filter inside a filter.
    pub struct EnvoySubFilterMatch {
        /// Its name.
        name: String, pending;
    }

    /// Some route configurations.
    pub struct EnvoyRouteConfigurationMatch {
        /// The port.
        port_number: u32, pending;
        /// The name of a gateway's port.
        port_name: String, pending;
        /// The Gateway, `namespace/name`.
        gateway: String, pending;
        /// The virtual host.
        vhost: Option<EnvoyVirtualHostMatch>, pending;
        /// The route configuration's name.
        name: String, pending;
    }

    /// Some virtual hosts.
    pub struct EnvoyVirtualHostMatch {
        /// The name.
        name: String, pending;
        /// The route.
        route: Option<EnvoyRouteMatch>, pending;
        /// A domain.
        domain_name: String, pending;
    }

    /// Some routes.
    pub struct EnvoyRouteMatch {
        /// The name.
        name: String, pending;
        /// What the route does.
        action: EnvoyRouteAction, pending;
    }

    /// Some clusters.
    pub struct EnvoyClusterMatch {
        /// The service's port.
        port_number: u32, pending;
        /// The service's full name.
        service: String, pending;
        /// The subset.
        subset: String, pending;
        /// The cluster's name.
        name: String, pending;
    }

    /// Some things of a waypoint.
    pub struct EnvoyWaypointMatch {
        /// The service's port.
        port_number: u32, pending, Port;
        /// The filter.
        filter: Option<EnvoyFilterMatch>, pending;
        /// The route.
        route: Option<EnvoyWaypointRouteMatch>, pending;
    }

    /// Some routes of a waypoint.
    pub struct EnvoyWaypointRouteMatch {
        /// The name.
        name: String, pending;
    }

    /// What is done with what was found.
    pub struct EnvoyPatch {
        /// How.
        operation: PatchOperation, pending;
        /// With what: a part of Envoy's configuration.
        value: Option<Struct>, pending;
        /// Where a filter is added.
        filter_class: EnvoyFilterClass, pending;
    }
}

oneof! {
    /// Some things of Envoy's configuration.
    pub enum EnvoyObjectMatch {
        /// Listeners, and what is in them.
        Listener(EnvoyListenerMatch) = listener, pending;
        /// Route configurations, and what is in them.
        RouteConfiguration(EnvoyRouteConfigurationMatch) = route_configuration, pending;
        /// Clusters.
        Cluster(EnvoyClusterMatch) = cluster, pending;
        /// What a waypoint has.
        Waypoint(EnvoyWaypointMatch) = waypoint, pending;
    }
}

enumeration! {
    /// What kind of thing is patched.
    pub enum ApplyTo {
        /// None: a kind is needed.
        Invalid = 0 "INVALID", pending;
        /// A listener.
        Listener = 1 "LISTENER", pending;
        /// A filter chain.
        FilterChain = 2 "FILTER_CHAIN", pending;
        /// A network filter.
        NetworkFilter = 3 "NETWORK_FILTER", pending;
        /// An HTTP filter.
        HttpFilter = 4 "HTTP_FILTER", pending;
        /// A route configuration.
        RouteConfiguration = 5 "ROUTE_CONFIGURATION", pending;
        /// A virtual host.
        VirtualHost = 6 "VIRTUAL_HOST", pending;
        /// A route.
        HttpRoute = 7 "HTTP_ROUTE", pending;
        /// A cluster.
        Cluster = 8 "CLUSTER", pending;
        /// The configuration of an extension.
        ExtensionConfig = 9 "EXTENSION_CONFIG", pending;
        /// The bootstrap.
        Bootstrap = 10 "BOOTSTRAP", pending;
        /// A listener filter.
        ListenerFilter = 11 "LISTENER_FILTER", pending;
    }

    /// For whose traffic.
    pub enum PatchContext {
        /// For all.
        Any = 0 "ANY", pending;
        /// What a sidecar takes in.
        SidecarInbound = 1 "SIDECAR_INBOUND", pending;
        /// What a sidecar sends.
        SidecarOutbound = 2 "SIDECAR_OUTBOUND", pending;
        /// A gateway's.
        Gateway = 3 "GATEWAY", pending;
        /// A waypoint's.
        Waypoint = 4 "WAYPOINT", pending;
    }

    /// What a route does.
    pub enum EnvoyRouteAction {
        /// Anything.
        Any = 0 "ANY", pending;
        /// It forwards.
        Route = 1 "ROUTE", pending;
        /// It redirects.
        Redirect = 2 "REDIRECT", pending;
        /// It answers.
        DirectResponse = 3 "DIRECT_RESPONSE", pending;
    }

    /// How a patch is applied.
    pub enum PatchOperation {
        /// Not at all: an operation is needed.
        Invalid = 0 "INVALID", pending;
        /// Merged, as protobuf merges.
        Merge = 1 "MERGE", pending;
        /// Added to a list.
        Add = 2 "ADD", pending;
        /// Taken out.
        Remove = 3 "REMOVE", pending;
        /// Put before what was found.
        InsertBefore = 4 "INSERT_BEFORE", pending;
        /// Put behind what was found.
        InsertAfter = 5 "INSERT_AFTER", pending;
        /// Put first.
        InsertFirst = 6 "INSERT_FIRST", pending;
        /// Put in place of what was found.
        Replace = 7 "REPLACE", pending;
        /// Merged, with lists replaced.
        MergeAndReplaceList = 8 "MERGE_AND_REPLACE_LIST", pending;
    }

    /// Where a filter is added.
    pub enum EnvoyFilterClass {
        /// Anywhere.
        Unspecified = 0 "UNSPECIFIED", pending;
        /// After authentication.
        Authn = 1 "AUTHN", pending;
        /// After authorization.
        Authz = 2 "AUTHZ", pending;
        /// Before statistics.
        Stats = 3 "STATS", pending;
    }
}
