//! Settings from a pod, as Istio's CNI plugin reads them: annotations of the pod, environment and
//! security context of its proxy's container.

use std::collections::BTreeMap;

use crate::settings::{Key, Notice, Outcome, Problems, Written, switch};

/// What says that a pod has a sidecar.
const STATUS: &str = "sidecar.istio.io/status";
/// What says that it is to have none.
const INJECT: &str = "sidecar.istio.io/inject";
const MODE: &str = "sidecar.istio.io/interceptionMode";
const REROUTE: &str = "istio.io/reroute-virtual-interfaces";
const REROUTE_BEFORE: &str = "traffic.sidecar.istio.io/kubevirtInterfaces";
/// The family of annotations about what is captured.
const TRAFFIC: &str = "traffic.sidecar.istio.io/";

/// Annotations that are a setting as they stand.
const ANNOTATIONS: [(&str, Key); 8] = [
    (MODE, Key::InboundInterceptionMode),
    ("traffic.sidecar.istio.io/includeOutboundIPRanges", Key::OutboundIpRangesInclude),
    ("traffic.sidecar.istio.io/excludeOutboundIPRanges", Key::OutboundIpRangesExclude),
    ("traffic.sidecar.istio.io/includeInboundPorts", Key::InboundPortsInclude),
    ("traffic.sidecar.istio.io/includeOutboundPorts", Key::OutboundPortsInclude),
    ("traffic.sidecar.istio.io/excludeOutboundPorts", Key::OutboundPortsExclude),
    ("traffic.sidecar.istio.io/excludeInterfaces", Key::ExcludeInterfaces),
    (REROUTE, Key::RerouteVirtualInterfaces),
];
const EXCLUDE_INBOUND: &str = "traffic.sidecar.istio.io/excludeInboundPorts";

/// What asks for both families where the pod has both.
const DUAL_STACK: &str = "ISTIO_DUAL_STACK";

/// The agent's port, which is left out without an annotation that says another.
const AGENT_PORT: &str = "15020";
/// Ports of the agent and the proxy that are asked from outside: always left out.
const OWN_PORTS: [&str; 3] = ["15020", "15021", "15090"];

/// What is known of a pod.
#[derive(Debug, Clone, Default)]
pub struct Pod {
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// The environment of the container `istio-proxy`.
    pub environment: BTreeMap<String, String>,
    /// The user that the container runs as, if said.
    pub user: Option<u32>,
    /// The group that it runs as, if said.
    pub group: Option<u32>,
    /// Whether the pod has an IPv6 address that is to be captured: its only one, or one of two where
    /// [`Pod::dual_stack`] says so.
    pub ipv6: bool,
}

/// Whether a pod is captured, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// With these settings.
    Captured(Box<Outcome>),
    /// Not at all, because.
    NotCaptured(&'static str),
}

impl Pod {
    /// Whether the environment asks for both families where the pod has both.
    #[must_use]
    pub fn dual_stack(&self) -> bool {
        self.environment.get(DUAL_STACK).and_then(|text| switch(text)).unwrap_or(false)
    }

    /// Whether the pod is captured, and how.
    ///
    /// # Errors
    /// Everything that is wrong in its annotations.
    pub fn decide(&self) -> Result<Decision, Problems> {
        let annotation = |name: &str| self.annotations.get(name).map(String::as_str);
        if annotation(INJECT).and_then(switch) == Some(false) {
            return Ok(Decision::NotCaptured("its annotation sidecar.istio.io/inject is false"));
        }
        if annotation(STATUS).is_none() {
            return Ok(Decision::NotCaptured("it has no sidecar (sidecar.istio.io/status)"));
        }
        if annotation(MODE) == Some("NONE") {
            return Ok(Decision::NotCaptured("its interception mode is NONE"));
        }
        let mut written = Written::default();
        self.set_defaults(&mut written);
        self.set_annotations(&mut written);
        self.set_environment(&mut written);
        Ok(Decision::Captured(Box::new(written.read()?)))
    }

    /// Without annotations all TCP is captured, but for the agent's port.
    fn set_defaults(&self, written: &mut Written) {
        written.set(Key::OutboundIpRangesInclude, "default", "*");
        written.set(Key::InboundPortsInclude, "default", "*");
        written.set(Key::OutboundPortsExclude, "default", AGENT_PORT);
        // Root is what a proxy runs as that may do more than its kind, and not whose traffic is its.
        let owner = |id: Option<u32>| id.filter(|id| *id != 0).map(|id| id.to_string());
        for (key, origin, id) in [
            (Key::ProxyUid, "securityContext.runAsUser", self.user),
            (Key::ProxyGid, "securityContext.runAsGroup", self.group),
        ] {
            let id = owner(id).unwrap_or_else(|| crate::settings::PROXY_ID.to_string());
            written.set(key, origin, id);
        }
        written.set(Key::EnableIpv6, "addresses", self.ipv6.to_string());
    }

    fn set_annotations(&self, written: &mut Written) {
        let mut excluded = AGENT_PORT;
        for (name, value) in &self.annotations {
            if let Some((_, key)) = ANNOTATIONS.iter().find(|(annotation, _)| annotation == name) {
                written.set(*key, name, value);
            } else if name == EXCLUDE_INBOUND {
                excluded = value;
            } else if name == REROUTE_BEFORE {
                written.note(Notice::Deprecated { origin: name.clone(), instead: REROUTE });
                if !self.annotations.contains_key(REROUTE) {
                    written.set(Key::RerouteVirtualInterfaces, name, value);
                }
            } else if name.starts_with(TRAFFIC) {
                written.note(Notice::Unknown { origin: name.clone() });
            }
        }
        let mut ports: Vec<&str> = Vec::new();
        for port in excluded.split(',').map(str::trim).chain(OWN_PORTS) {
            if !port.is_empty() && !ports.contains(&port) {
                ports.push(port);
            }
        }
        // What is always added has an effect on all ports only, and is nobody's mistake otherwise.
        let include = self.annotations.get("traffic.sidecar.istio.io/includeInboundPorts");
        let all = include.is_none_or(|include| include.trim() == "*");
        if all || self.annotations.contains_key(EXCLUDE_INBOUND) {
            written.set(Key::InboundPortsExclude, EXCLUDE_INBOUND, ports.join(","));
        }
    }

    fn set_environment(&self, written: &mut Written) {
        for (name, keys) in [
            // Which servers the pod will ask is not known yet: all of them are meant.
            ("ISTIO_META_DNS_CAPTURE", &[Key::RedirectDns, Key::CaptureAllDns][..]),
            ("INVALID_DROP", &[Key::DropInvalid]),
            // Already part of what [`Pod::ipv6`] says; looked at for what is wrong with it.
            (DUAL_STACK, &[]),
        ] {
            let Some(value) = self.environment.get(name) else { continue };
            let Some(on) = switch(value) else {
                let origin = name.to_owned();
                written.note(Notice::NoSwitch { origin, value: value.clone() });
                continue;
            };
            for key in keys {
                written.set(*key, name, on.to_string());
            }
        }
    }
}
