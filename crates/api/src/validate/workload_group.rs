//! WorkloadGroup and ProxyConfig.

use super::peer_authentication::selector;
use super::shared::labels;
use super::{Validator, syntax};
use crate::diagnostic::Code;
use crate::mesh_config::{HealthCheckMethod, HttpHealthCheck, ReadinessProbe};
use crate::networking::{ProxyConfig, WorkloadEntry, WorkloadGroup};

pub(super) fn proxy_config(v: &mut Validator, config: &ProxyConfig) {
    selector(v, config.selector.as_ref());
    if config.concurrency.is_some_and(|workers| workers < 0) {
        v.check_field("concurrency", Err("less than 0".to_owned()));
    }
}

pub(super) fn workload_group(v: &mut Validator, group: &WorkloadGroup) {
    if let Some(metadata) = &group.metadata {
        v.field("metadata", |v| labels(v, "labels", &metadata.labels));
    }
    match &group.template {
        Some(it) => v.field("template", |v| template(v, it)),
        None => v.missing("template", "the entries' template is needed"),
    }
    if let Some(it) = &group.probe {
        v.field("probe", |v| probe(v, it));
    }
}

/// A WorkloadEntry but for its address, which each workload has for itself.
fn template(v: &mut Validator, template: &WorkloadEntry) {
    v.each_key("ports", &template.ports, |v, name, number| {
        v.check(syntax::port_name(name));
        v.check(syntax::port(*number));
    });
    labels(v, "labels", &template.labels);
}

/// Also for the mesh's default settings of proxies.
pub(super) fn probe(v: &mut Validator, probe: &ReadinessProbe) {
    for (name, number) in [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ] {
        if number < 0 {
            v.check_field(name, Err(format!("{number} is less than 0")));
        }
    }
    match &probe.health_check_method {
        Some(HealthCheckMethod::HttpGet(it)) => v.field("httpGet", |v| http_get(v, it)),
        Some(HealthCheckMethod::TcpSocket(it)) => v.field("tcpSocket", |v| port(v, it.port)),
        Some(HealthCheckMethod::Grpc(it)) => v.field("grpc", |v| port(v, it.port)),
        Some(HealthCheckMethod::Exec(it)) => v.field("exec", |v| {
            if it.command.is_empty() || it.command.iter().any(String::is_empty) {
                v.missing("command", "the command is needed");
            }
        }),
        None => v.error(
            Code::MissingField,
            "one of `httpGet`, `tcpSocket`, `exec` and `grpc` is needed",
        ),
    }
}

fn http_get(v: &mut Validator, check: &HttpHealthCheck) {
    port(v, check.port);
    if !["", "HTTP", "HTTPS"].contains(&check.scheme.as_str()) {
        let message = format!("`{}` is neither HTTP nor HTTPS", check.scheme);
        v.check_field("scheme", Err(message));
    }
    v.each("httpHeaders", &check.http_headers, |v, header| {
        v.check_field("name", syntax::plain_header_name(&header.name));
    });
}

fn port(v: &mut Validator, number: u32) {
    v.check_field("port", syntax::port(number));
}
