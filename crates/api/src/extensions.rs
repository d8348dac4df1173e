//! `extensions.istio.io`: what users add to the proxy.

use crate::message::{Struct, enumeration, message, oneof};
use crate::security::{LabelSelector, PolicyTargetReference};

message! {
    /// An extension in WebAssembly.
    pub struct WasmPlugin [
        Holds(
            "(has(self.selector) ? 1 : 0) + (has(self.targetRef) ? 1 : 0) + \
             (has(self.targetRefs) ? 1 : 0) <= 1",
            "only one of targetRefs or selector can be set"
        ),
    ] {
        /// The workloads, in this namespace. The default is all; in the root namespace, all of the
        /// mesh.
        selector: Option<LabelSelector>, pending;
        /// The object that the extension is attached to. Superseded by `targetRefs`.
        target_ref: Option<PolicyTargetReference>, pending;
        /// The objects that the extension is attached to. Excludes `selector`.
        target_refs: Vec<PolicyTargetReference>, pending, MaxItems(16);
        /// The module: `oci://` (the default), `http://`, `https://` or `file://`.
        url: String, pending, Required, MinLength(1),
            Holds(
                "isURL(self) ? (url(self).getScheme() in ['', 'http', 'https', 'file', 'oci']) : \
                 (isURL('http://' + self) && \
                 url('http://' + self).getScheme() in ['', 'http', 'https', 'file', 'oci'])",
                "url must have schema one of [http, https, file, oci]"
            );
        /// The SHA-256 of the module or image, in lower-case hexadecimal.
        sha256: String, pending, Pattern("(^$|^[a-f0-9]{64}$)");
        /// When the module is fetched again.
        image_pull_policy: PullPolicy, pending;
        /// The Secret of this namespace with the registry's credentials.
        image_pull_secret: String, pending, MinLength(1), MaxLength(253);
        /// Not looked at by Istio either.
        verification_key: String, pending;
        /// What the module is told.
        plugin_config: Option<Struct>, pending;
        /// Which plugin of the module.
        plugin_name: String, pending, MinLength(1), MaxLength(256);
        /// Where among the proxy's own steps it stands.
        phase: PluginPhase, pending;
        /// The order within the phase: higher ones first.
        priority: Option<i32>, pending;
        /// What becomes of requests when it fails.
        fail_strategy: FailStrategy, pending;
        /// Settings of the virtual machine.
        vm_config: Option<VmConfig>, pending;
        /// Traffic that it sees; any will do. The default is all.
        r#match: Vec<TrafficSelector>, pending;
        /// What it handles.
        r#type: PluginType, pending;
    }

    /// An extension in WebAssembly or Lua.
    pub struct TrafficExtension [
        Holds(
            "(has(self.selector) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1",
            "only one of targetRefs or selector can be set"
        ),
        Holds("has(self.wasm) != has(self.lua)", "exactly one of wasm or lua must be set"),
    ] {
        /// The workloads, in this namespace. The default is all; in the root namespace, all of the
        /// mesh.
        selector: Option<LabelSelector>, pending;
        /// The objects that the extension is attached to. Excludes `selector`.
        target_refs: Vec<PolicyTargetReference>, pending, MaxItems(16);
        /// Where among the proxy's own steps it stands.
        phase: ExecutionPhase, pending;
        /// The order within the phase: higher ones first.
        priority: Option<i32>, pending;
        /// Traffic that it sees; any will do. The default is all.
        r#match: Vec<TrafficSelector>, pending;
        /// The extension itself.
        filter_config: Option<FilterConfig>, oneof;
    }

    /// A module in WebAssembly.
    pub struct WasmConfig {
        /// The module: `oci://` (the default), `http://`, `https://` or `file://`.
        url: String, pending, Required, MinLength(1),
            Holds(
                "isURL(self) ? (url(self).getScheme() in ['', 'http', 'https', 'file', 'oci']) : \
                 (isURL('http://' + self) && \
                 url('http://' + self).getScheme() in ['', 'http', 'https', 'file', 'oci'])",
                "url must have schema one of [http, https, file, oci]"
            );
        /// The SHA-256 of the module or image, in lower-case hexadecimal.
        sha256: String, pending, Pattern("(^$|^[a-f0-9]{64}$)");
        /// When the module is fetched again.
        image_pull_policy: PullPolicy, pending;
        /// The Secret of this namespace with the registry's credentials.
        image_pull_secret: String, pending, MinLength(1), MaxLength(253);
        /// Not looked at by Istio either.
        verification_key: String, pending;
        /// What the module is told.
        plugin_config: Option<Struct>, pending;
        /// Which plugin of the module.
        plugin_name: String, pending, MinLength(1), MaxLength(256);
        /// What becomes of requests when it fails.
        fail_strategy: FailStrategy, pending;
        /// Settings of the virtual machine.
        vm_config: Option<VmConfig>, pending;
        /// What it handles.
        r#type: PluginType, pending;
    }

    /// A script in Lua.
    pub struct LuaConfig {
        /// The script, with `envoy_on_request` or `envoy_on_response`.
        inline_code: String, pending, Required, MinLength(1), MaxLength(65536);
    }

    /// Some of a workload's traffic: everything that is set must hold.
    pub struct TrafficSelector {
        /// The direction. The default is both.
        mode: WorkloadMode, pending;
        /// Ports of which one must be the destination's. None: any.
        ports: Vec<MatchedPort>, pending, DistinctBy("number");
    }

    /// A port of traffic.
    pub struct MatchedPort {
        /// Its number.
        number: u32, pending, Required, Port;
    }

    /// Settings of a virtual machine.
    pub struct VmConfig {
        /// Environment variables.
        env: Vec<EnvVar>, pending, MaxItems(256), DistinctBy("name");
    }

    /// An environment variable.
    pub struct EnvVar [
        Holds(
            "(has(self.valueFrom) ? self.valueFrom : '') != 'HOST' || !has(self.value)",
            "value may only be set when valueFrom is INLINE"
        ),
    ] {
        /// Its name.
        name: String, pending, Required, MinLength(1), MaxLength(256);
        /// Where its value comes from.
        value_from: EnvValueSource, pending;
        /// The value.
        value: String, pending, MaxLength(2048);
    }
}

oneof! {
    /// An extension.
    pub enum FilterConfig {
        /// A module in WebAssembly.
        Wasm(WasmConfig) = wasm, pending;
        /// A script in Lua.
        Lua(LuaConfig) = lua, pending;
    }
}

enumeration! {
    /// Where among the proxy's own steps an extension stands.
    pub enum PluginPhase {
        /// At the end.
        Unspecified = 0 "UNSPECIFIED_PHASE", pending;
        /// Before authentication.
        Authn = 1 "AUTHN", pending;
        /// Before authorization.
        Authz = 2 "AUTHZ", pending;
        /// Before statistics.
        Stats = 3 "STATS", pending;
    }

    /// Where among the proxy's own steps an extension stands.
    pub enum ExecutionPhase {
        /// At the end.
        Unspecified = 0 "EXECUTION_PHASE_UNSPECIFIED", pending;
        /// Before authentication.
        Authn = 1 "EXECUTION_PHASE_AUTHN", pending;
        /// Before authorization.
        Authz = 2 "EXECUTION_PHASE_AUTHZ", pending;
        /// Before statistics.
        Stats = 3 "EXECUTION_PHASE_STATS", pending;
    }

    /// When a module is fetched again.
    pub enum PullPolicy {
        /// IfNotPresent, and Always for the tag `latest`.
        Unspecified = 0 "UNSPECIFIED_POLICY", pending;
        /// When it is not there.
        IfNotPresent = 1 "IfNotPresent", pending;
        /// Always.
        Always = 2 "Always", pending;
    }

    /// What becomes of requests when an extension fails.
    pub enum FailStrategy {
        /// They fail.
        FailClose = 0 "FAIL_CLOSE", pending;
        /// They go on without it.
        FailOpen = 1 "FAIL_OPEN", pending;
        /// The extension is loaded anew, and the request fails if that fails.
        FailReload = 2 "FAIL_RELOAD", pending;
    }

    /// What an extension handles.
    pub enum PluginType {
        /// HTTP.
        Unspecified = 0 "UNSPECIFIED_PLUGIN_TYPE", pending;
        /// HTTP.
        Http = 1 "HTTP", pending;
        /// Connections.
        Network = 2 "NETWORK", pending;
    }

    /// A direction of traffic.
    pub enum WorkloadMode {
        /// Both.
        Undefined = 0 "UNDEFINED", pending;
        /// What the workload sends.
        Client = 1 "CLIENT", pending;
        /// What the workload gets.
        Server = 2 "SERVER", pending;
        /// Both.
        ClientAndServer = 3 "CLIENT_AND_SERVER", pending;
    }

    /// Where the value of an environment variable comes from.
    pub enum EnvValueSource {
        /// It stands beside.
        Inline = 0 "INLINE", pending;
        /// The proxy's own environment.
        Host = 1 "HOST", pending;
    }
}
