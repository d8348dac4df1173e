//! The mesh's settings of proxies.

use super::workload_group::probe;
use super::{Validator, syntax};
use crate::diagnostic::Code;
use crate::duration::Duration;
use crate::mesh_config::{
    BatchedKeys, ClusterName, ConnectionSettings, KeyHardware, PrivateKeyProvider, ProxyConfig,
    Tracer, Tracing,
};

/// The largest window of HTTP/2 (RFC 9113, section 6.9.1) and the smallest that Envoy takes.
const WINDOWS: std::ops::RangeInclusive<i64> = 65_535..=2_147_483_647;

/// Environment variables that do nothing any more.
const SUPERSEDED: [(&str, &str); 1] =
    [("ISTIO_META_DNS_AUTO_ALLOCATE", "addresses are allocated by the control plane")];

pub(super) fn proxy_config(v: &mut Validator, proxy: &ProxyConfig) {
    for (name, text) in [("configPath", &proxy.config_path), ("binaryPath", &proxy.binary_path)] {
        if text.is_empty() {
            v.missing(name, "the path is needed");
        }
    }
    if matches!(&proxy.cluster_name, Some(ClusterName::ServiceCluster(name)) if name.is_empty()) {
        v.missing("serviceCluster", "the name is needed");
    }
    times(v, proxy);
    for (name, port) in
        [("proxyAdminPort", proxy.proxy_admin_port), ("statusPort", proxy.status_port)]
    {
        v.check_field(name, syntax::port(u32::try_from(port).unwrap_or(u32::MAX)));
    }
    addresses(v, proxy);
    if proxy.concurrency.is_some_and(|workers| workers < 0) {
        v.check_field("concurrency", Err("less than 0".to_owned()));
    }
    if let Some(it) = &proxy.tracing {
        v.field("tracing", |v| tracing(v, it));
    }
    if let Some(it) = &proxy.private_key_provider {
        v.field("privateKeyProvider", |v| private_keys(v, it));
    }
    if let Some(it) = &proxy.connection_settings {
        v.field("connectionSettings", |v| connections(v, it));
    }
    if let Some(it) = &proxy.readiness_probe {
        v.field("readinessProbe", |v| probe(v, it));
    }
    v.each_key("proxyMetadata", &proxy.proxy_metadata, |v, name, _| {
        if let Some((_, instead)) = SUPERSEDED.iter().find(|(superseded, _)| superseded == name) {
            v.warn(Code::Deprecated, format!("`{name}` does nothing any more: {instead}"));
        }
    });
}

fn times(v: &mut Validator, proxy: &ProxyConfig) {
    if let Some(time) = proxy.drain_duration {
        v.check_field("drainDuration", whole_seconds(time));
    }
    if let Some(time) = proxy.termination_drain_duration {
        v.check_field("terminationDrainDuration", syntax::timeout(time));
    }
    if let Some(time) = proxy.file_flush_interval {
        v.check_field("fileFlushInterval", syntax::duration(time));
    }
}

/// A time that Envoy's command line takes.
fn whole_seconds(time: Duration) -> syntax::Check {
    syntax::duration(time)?;
    if time.as_nanos() % 1_000_000_000 == 0 {
        return Ok(());
    }
    Err(format!("{time} is finer than seconds"))
}

fn addresses(v: &mut Validator, proxy: &ProxyConfig) {
    v.check_field("discoveryAddress", syntax::host_port(&proxy.discovery_address));
    for (name, address) in
        [("zipkinAddress", &proxy.zipkin_address), ("statsdUdpAddress", &proxy.statsd_udp_address)]
    {
        if !address.is_empty() {
            v.check_field(name, proxy_address(address));
        }
    }
    for (name, service) in [
        ("envoyAccessLogService", &proxy.envoy_access_log_service),
        ("envoyMetricsService", &proxy.envoy_metrics_service),
    ] {
        if let Some(service) = service
            && !service.address.is_empty()
        {
            v.field(name, |v| v.check_field("address", syntax::host_port(&service.address)));
        }
    }
}

/// An address whose host may be the node's, `$(HOST_IP)`.
fn proxy_address(address: &str) -> syntax::Check {
    match address.strip_prefix("$(HOST_IP)") {
        Some(port) => syntax::host_port(&format!("127.0.0.1{port}")),
        None => syntax::host_port(address),
    }
}

fn tracing(v: &mut Validator, tracing: &Tracing) {
    let (name, address) = match &tracing.tracer {
        Some(Tracer::Zipkin(it)) => ("zipkin", &it.address),
        Some(Tracer::Lightstep(it)) => ("lightstep", &it.address),
        Some(Tracer::Datadog(it)) => ("datadog", &it.address),
        Some(Tracer::OpenCensusAgent(_) | Tracer::Stackdriver(_)) | None => return,
    };
    v.field(name, |v| {
        v.check_field("address", proxy_address(address));
        if let Some(Tracer::Lightstep(it)) = &tracing.tracer
            && it.access_token.is_empty()
        {
            v.missing("accessToken", "the token is needed");
        }
    });
    v.check_field("sampling", syntax::percent(tracing.sampling));
}

fn private_keys(v: &mut Validator, provider: &PrivateKeyProvider) {
    match &provider.provider {
        Some(KeyHardware::Cryptomb(it)) => v.field("cryptomb", |v| batched(v, it)),
        Some(KeyHardware::Qat(it)) => v.field("qat", |v| batched(v, it)),
        None => v.error(Code::MissingField, "one of `cryptomb` and `qat` is needed"),
    }
}

fn batched(v: &mut Validator, keys: &BatchedKeys) {
    match keys.poll_delay {
        Some(delay) if delay > Duration::ZERO => {}
        Some(delay) => v.check_field("pollDelay", Err(format!("{delay} is too short"))),
        None => v.missing("pollDelay", "the time is needed"),
    }
}

fn connections(v: &mut Validator, settings: &ConnectionSettings) {
    for (name, window) in [
        ("http2InitialStreamWindowSize", settings.http2_initial_stream_window_size),
        ("http2InitialConnectionWindowSize", settings.http2_initial_connection_window_size),
    ] {
        if let Some(window) = window.filter(|window| !WINDOWS.contains(window)) {
            let (least, most) = (WINDOWS.start(), WINDOWS.end());
            v.check_field(name, Err(format!("{window} is not between {least} and {most}")));
        }
    }
    for (name, number) in [
        ("http2MaxConcurrentStreams", settings.http2_max_concurrent_streams),
        ("globalDownstreamConnectionLimit", settings.global_downstream_connection_limit),
    ] {
        if let Some(number) = number.filter(|number| *number < 1) {
            v.check_field(name, Err(format!("{number} is less than 1")));
        }
    }
}
