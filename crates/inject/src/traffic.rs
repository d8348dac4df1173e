//! What of a pod's traffic is captured, as arguments of `lateen-proxy capture` and as the annotations
//! that a CNI plugin reads.

use serde_json::Value;

use crate::error::Error;
use crate::json::annotation;
use crate::names;
use crate::setting::Setting;
use crate::settings::{ProxySettings, Values};

/// Ports of the proxy that are asked from outside and never captured.
const OWN_PORTS: &str = "15090,15021";

/// What of a pod's traffic is captured.
#[derive(Debug, Clone)]
pub(crate) struct Traffic {
    /// REDIRECT, TPROXY or NONE.
    pub(crate) mode: String,
    outbound_ranges: String,
    outbound_ranges_excluded: String,
    inbound_ports: String,
    inbound_ports_excluded: String,
    /// `None`: nobody said anything.
    outbound_ports: Option<String>,
    outbound_ports_excluded: Option<String>,
    rerouted_interfaces: Option<String>,
    excluded_interfaces: Option<String>,
    nftables: bool,
}

impl Traffic {
    /// Reads annotations and values.
    pub(crate) fn read(
        pod: &Value,
        values: &Values,
        proxy: &ProxySettings,
        status_port: u16,
    ) -> Result<Self, Error> {
        let setting = |name, path, value| Setting::new(pod, name, path, value);
        let defaults = &values.proxy;
        let excluded = setting(
            names::EXCLUDE_INBOUND_PORTS,
            "global.proxy.excludeInboundPorts",
            &defaults.exclude_inbound_ports,
        )
        .ports(false)?;
        let some = |setting: Setting<'_>, text: &str| {
            (setting.annotated || !text.is_empty()).then(|| text.to_owned())
        };
        let included_outbound = setting(
            names::INCLUDE_OUTBOUND_PORTS,
            "global.proxy.includeOutboundPorts",
            &defaults.include_outbound_ports,
        );
        let excluded_outbound = setting(
            names::EXCLUDE_OUTBOUND_PORTS,
            "global.proxy.excludeOutboundPorts",
            &defaults.exclude_outbound_ports,
        );
        let interfaces = annotation(pod, names::REROUTE_INTERFACES)
            .or_else(|| annotation(pod, names::KUBEVIRT_INTERFACES));
        Ok(Self {
            mode: setting(names::INTERCEPTION_MODE, "", proxy.interception_mode())
                .mode()?
                .to_owned(),
            outbound_ranges: setting(
                names::INCLUDE_OUTBOUND_RANGES,
                "global.proxy.includeIPRanges",
                &defaults.include_ip_ranges,
            )
            .ranges(true)?
            .to_owned(),
            outbound_ranges_excluded: setting(
                names::EXCLUDE_OUTBOUND_RANGES,
                "global.proxy.excludeIPRanges",
                &defaults.exclude_ip_ranges,
            )
            .ranges(false)?
            .to_owned(),
            inbound_ports: setting(
                names::INCLUDE_INBOUND_PORTS,
                "global.proxy.includeInboundPorts",
                &defaults.include_inbound_ports,
            )
            .ports(true)?
            .to_owned(),
            inbound_ports_excluded: with_port(excluded, status_port),
            outbound_ports: some(included_outbound, included_outbound.ports(false)?),
            outbound_ports_excluded: some(excluded_outbound, excluded_outbound.ports(false)?),
            rerouted_interfaces: interfaces.map(str::to_owned),
            excluded_interfaces: annotation(pod, names::EXCLUDE_INTERFACES).map(str::to_owned),
            nftables: values.nftables,
        })
    }

    /// Whether anything is captured at all.
    pub(crate) fn is_captured(&self) -> bool {
        self.mode != "NONE"
    }

    /// The arguments for `lateen-proxy capture <action>`, which are those of Istio's redirect tool.
    pub(crate) fn arguments(&self, action: &str, user: i64) -> Vec<String> {
        let mut excluded = OWN_PORTS.to_owned();
        if !self.inbound_ports_excluded.is_empty() {
            excluded.push(',');
            excluded.push_str(&self.inbound_ports_excluded);
        }
        let user = user.to_string();
        let mut arguments = vec!["capture".to_owned(), action.to_owned()];
        let mut flag = |name: &str, value: &str| {
            arguments.extend([name.to_owned(), value.to_owned()]);
        };
        flag("-p", "15001");
        flag("-z", "15006");
        flag("-u", &user);
        flag("-m", &self.mode);
        flag("-i", &self.outbound_ranges);
        flag("-x", &self.outbound_ranges_excluded);
        flag("-b", &self.inbound_ports);
        flag("-d", &excluded);
        for (name, value) in [
            ("-q", &self.outbound_ports),
            ("-o", &self.outbound_ports_excluded),
            ("-k", &self.rerouted_interfaces),
            ("-c", &self.excluded_interfaces),
        ] {
            if let Some(value) = value {
                flag(name, value);
            }
        }
        if self.nftables {
            arguments.push("--native-nftables".to_owned());
        }
        arguments
    }

    /// The annotations that a CNI plugin reads.
    pub(crate) fn annotations(&self) -> Vec<(&'static str, String)> {
        let said = |name, value: &String| (!value.is_empty()).then(|| (name, value.clone()));
        let written = |name, value: &Option<String>| Some((name, value.clone()?));
        [
            said(names::INTERCEPTION_MODE, &self.mode),
            said(names::INCLUDE_OUTBOUND_RANGES, &self.outbound_ranges),
            said(names::EXCLUDE_OUTBOUND_RANGES, &self.outbound_ranges_excluded),
            said(names::INCLUDE_INBOUND_PORTS, &self.inbound_ports),
            Some((names::EXCLUDE_INBOUND_PORTS, self.inbound_ports_excluded.clone())),
            written(names::INCLUDE_OUTBOUND_PORTS, &self.outbound_ports),
            written(names::EXCLUDE_OUTBOUND_PORTS, &self.outbound_ports_excluded),
            written(names::REROUTE_INTERFACES, &self.rerouted_interfaces),
            written(names::EXCLUDE_INTERFACES, &self.excluded_interfaces),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// A list of ports with one more at its end, if that is one and not there yet.
fn with_port(ports: &str, port: u16) -> String {
    let port_text = port.to_string();
    let mut entries: Vec<&str> =
        ports.split(',').map(str::trim).filter(|entry| !entry.is_empty()).collect();
    if port > 0 && !entries.contains(&port_text.as_str()) {
        entries.push(&port_text);
    }
    entries.join(",")
}

/// The networks of Multus with the plugin's own (Istio: `appendMultusNetwork`): a list with commas, or
/// a JSON list.
pub(crate) fn multus_networks(existing: Option<&str>) -> String {
    const NETWORK: &str = "default/istio-cni";
    let existing = existing.unwrap_or_default().trim();
    if existing.is_empty() {
        return NETWORK.to_owned();
    }
    if existing.contains("istio-cni") {
        return existing.to_owned();
    }
    match existing.strip_suffix(']') {
        Some(list) if existing.starts_with('[') => {
            let separator = if list.trim() == "[" { "" } else { ", " };
            format!("{list}{separator}{{\"name\": \"istio-cni\", \"namespace\": \"default\"}}]")
        }
        _ => format!("{existing}, {NETWORK}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plugins_network_is_added_once() {
        for (before, after) in [
            (None, "default/istio-cni"),
            (Some("alt"), "alt, default/istio-cni"),
            (Some("alt, default/istio-cni"), "alt, default/istio-cni"),
            (Some("[]"), r#"[{"name": "istio-cni", "namespace": "default"}]"#),
            (
                Some(r#"[{"name": "alt"}]"#),
                r#"[{"name": "alt"}, {"name": "istio-cni", "namespace": "default"}]"#,
            ),
        ] {
            assert_eq!(multus_networks(before), after);
        }
    }

    #[test]
    fn a_port_is_added_once_and_zero_never() {
        assert_eq!(with_port("4,5", 15020), "4,5,15020");
        assert_eq!(with_port("15020", 15020), "15020");
        assert_eq!(with_port("", 0), "");
    }
}
