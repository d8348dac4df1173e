//! The settings of the mesh.

use super::http_actions::retries;
use super::load_balancer::locality;
use super::mesh_providers::extension_providers;
use super::mesh_proxy::proxy_config;
use super::traffic_policy::{connection_pool, outlier_detection};
use super::{Validator, syntax};
use crate::diagnostic::Code;
use crate::mesh_config::{KubernetesLabelSelector, LabelSelectorRequirement, MeshConfig};
use crate::networking::HttpRetry;

pub(super) fn settings(v: &mut Validator, mesh: &MeshConfig) {
    for (name, port) in [
        ("proxyListenPort", mesh.proxy_listen_port),
        ("proxyInboundListenPort", mesh.proxy_inbound_listen_port),
    ] {
        port_field(v, name, port);
    }
    if let Some(time) = mesh.connect_timeout {
        v.check_field("connectTimeout", syntax::duration(time));
    }
    if let Some(time) = mesh.protocol_detection_timeout {
        v.check_field("protocolDetectionTimeout", syntax::timeout(time));
    }
    trust_domains(v, mesh);
    if !syntax::is_namespace(&mesh.root_namespace) {
        let message = format!("`{}` is not a namespace", mesh.root_namespace);
        v.check_field("rootNamespace", Err(message));
    }
    default_export_to(v, mesh);
    locality(
        v,
        mesh.locality_lb_setting.as_ref(),
        mesh.default_traffic_policy.as_ref().and_then(|policy| policy.outlier_detection.as_ref()),
    );
    if let Some(policy) = &mesh.default_http_retry_policy {
        v.field("defaultHttpRetryPolicy", |v| retries(v, policy));
    }
    if let Some(policy) = &mesh.default_inbound_http_retry_policy {
        v.field("defaultInboundHttpRetryPolicy", |v| inbound_retries(v, policy));
    }
    extension_providers(v, &mesh.extension_providers);
    v.each("serviceSettings", &mesh.service_settings, |v, settings| {
        v.each("hosts", &settings.hosts, |v, host| v.check(syntax::wildcard_domain(host)));
    });
    if let Some(policy) = &mesh.default_traffic_policy {
        v.field("defaultTrafficPolicy", |v| {
            connection_pool(v, "connectionPool", policy.connection_pool.as_ref());
            outlier_detection(v, policy.outlier_detection.as_ref());
        });
    }
    v.each("discoverySelectors", &mesh.discovery_selectors, label_selector);
    if let Some(proxy) = &mesh.default_config {
        v.field("defaultConfig", |v| proxy_config(v, proxy));
    }
}

/// What a server's sidecar tries again, in the application beside it: only that, and how often.
fn inbound_retries(v: &mut Validator, policy: &HttpRetry) {
    retries(v, policy);
    if policy.attempts == 0 && policy.backoff.is_some() {
        v.conflict("backoff", "retries are configured, but there are 0 attempts");
    }
    for (name, set) in [
        ("perTryTimeout", policy.per_try_timeout.is_some()),
        ("retryRemoteLocalities", policy.retry_remote_localities.is_some()),
        ("retryIgnorePreviousHosts", policy.retry_ignore_previous_hosts.is_some()),
    ] {
        if set {
            v.field(name, |v| v.warn(Code::NoEffect, "not looked at for inbound requests"));
        }
    }
}

fn trust_domains(v: &mut Validator, mesh: &MeshConfig) {
    let check = |domain: &str| {
        let valid = domain.split('.').all(syntax::is_label);
        if valid { Ok(()) } else { Err(format!("`{domain}` is not a trust domain")) }
    };
    v.check_field("trustDomain", check(&mesh.trust_domain));
    v.each("trustDomainAliases", &mesh.trust_domain_aliases, |v, alias| v.check(check(alias)));
}

/// Defaults may say no more than everywhere, here, or nowhere.
fn default_export_to(v: &mut Validator, mesh: &MeshConfig) {
    for (name, entries) in [
        ("defaultServiceExportTo", &mesh.default_service_export_to),
        ("defaultVirtualServiceExportTo", &mesh.default_virtual_service_export_to),
        ("defaultDestinationRuleExportTo", &mesh.default_destination_rule_export_to),
    ] {
        v.each(name, entries, |v, entry| {
            let valid = matches!(entry.as_str(), "*" | "." | "~") || syntax::is_namespace(entry);
            if !valid {
                v.error(Code::BadValue, format!("`{entry}` is not `*`, `.`, `~` or a namespace"));
            }
        });
    }
}

fn label_selector(v: &mut Validator, selector: &KubernetesLabelSelector) {
    v.each("matchExpressions", &selector.match_expressions, |v, it: &LabelSelectorRequirement| {
        v.check_field("key", syntax::label_key(&it.key));
        match (it.operator.as_str(), it.values.is_empty()) {
            ("In" | "NotIn", true) => v.missing("values", format!("{} needs values", it.operator)),
            ("Exists" | "DoesNotExist", false) => {
                v.conflict("values", format!("{} takes no values", it.operator));
            }
            ("In" | "NotIn", false) | ("Exists" | "DoesNotExist", true) => {}
            (other, _) => {
                let message = format!("`{other}` is not In, NotIn, Exists or DoesNotExist");
                v.check_field("operator", Err(message));
            }
        }
    });
}

fn port_field(v: &mut Validator, name: &str, port: i32) {
    v.check_field(name, syntax::port(u32::try_from(port).unwrap_or(u32::MAX)));
}
