//! Traffic policies.

use super::load_balancer::load_balancer;
use super::{Validator, syntax};
use crate::diagnostic::Code;
use crate::duration::Duration;
use crate::networking::{
    ClientTlsMode, ClientTlsSettings, ConnectionPoolSettings, H2UpgradePolicy, HttpSettings,
    OutlierDetection, Percentage, PortTrafficPolicy, RetryBudget, TcpSettings, TrafficPolicy,
    TunnelSettings,
};

pub(super) fn traffic_policy(v: &mut Validator, policy: Option<&TrafficPolicy>) {
    let Some(policy) = policy else { return };
    v.field("trafficPolicy", |v| {
        if *policy == TrafficPolicy::default() {
            v.error(Code::MissingField, "a traffic policy needs at least one setting");
        }
        if let Some(it) = &policy.load_balancer {
            v.field("loadBalancer", |v| load_balancer(v, it, policy.outlier_detection.as_ref()));
        }
        connection_pool(v, "connectionPool", policy.connection_pool.as_ref());
        outlier_detection(v, policy.outlier_detection.as_ref());
        client_tls(v, policy.tls.as_ref());
        v.each("portLevelSettings", &policy.port_level_settings, port_policy);
        if let Some(it) = &policy.tunnel {
            v.field("tunnel", |v| tunnel(v, it));
        }
        if let Some(it) = &policy.retry_budget {
            v.field("retryBudget", |v| retry_budget(v, it));
        }
    });
}

fn port_policy(v: &mut Validator, policy: &PortTrafficPolicy) {
    match &policy.port {
        Some(port) => v.field("port", |v| v.check_field("number", syntax::port(port.number))),
        None => v.missing("port", "the port is needed"),
    }
    if let Some(it) = &policy.load_balancer {
        v.field("loadBalancer", |v| load_balancer(v, it, policy.outlier_detection.as_ref()));
    }
    connection_pool(v, "connectionPool", policy.connection_pool.as_ref());
    outlier_detection(v, policy.outlier_detection.as_ref());
    client_tls(v, policy.tls.as_ref());
}

/// Also for Sidecars and the mesh.
pub(super) fn connection_pool(
    v: &mut Validator,
    name: &str,
    pool: Option<&ConnectionPoolSettings>,
) {
    let Some(pool) = pool else { return };
    v.field(name, |v| {
        if pool.tcp.is_none() && pool.http.is_none() {
            v.error(Code::MissingField, "one of `tcp` and `http` is needed");
        }
        if let Some(it) = &pool.tcp {
            v.field("tcp", |v| tcp_settings(v, it));
        }
        if let Some(it) = &pool.http {
            v.field("http", |v| http_settings(v, it));
        }
    });
}

fn tcp_settings(v: &mut Validator, tcp: &TcpSettings) {
    not_negative(v, "maxConnections", tcp.max_connections);
    times(v, &[("connectTimeout", tcp.connect_timeout)], syntax::duration);
    times(v, &[("maxConnectionDuration", tcp.max_connection_duration)], syntax::duration);
    times(v, &[("idleTimeout", tcp.idle_timeout)], syntax::timeout);
    if let Some(keepalive) = &tcp.tcp_keepalive {
        v.field("tcpKeepalive", |v| {
            let all = [("time", keepalive.time), ("interval", keepalive.interval)];
            times(v, &all, syntax::duration);
        });
    }
}

fn http_settings(v: &mut Validator, http: &HttpSettings) {
    not_negative(v, "http1MaxPendingRequests", http.http1_max_pending_requests);
    not_negative(v, "http2MaxRequests", http.http2_max_requests);
    not_negative(v, "maxRequestsPerConnection", http.max_requests_per_connection);
    not_negative(v, "maxRetries", http.max_retries);
    not_negative(v, "maxConcurrentStreams", http.max_concurrent_streams);
    times(v, &[("idleTimeout", http.idle_timeout)], syntax::timeout);
    if http.use_client_protocol && http.h2_upgrade_policy == H2UpgradePolicy::Upgrade {
        v.conflict("useClientProtocol", "`useClientProtocol` excludes `h2UpgradePolicy: UPGRADE`");
    }
    if let Some(keep_alive) = &http.http2_keep_alive {
        v.field("http2KeepAlive", |v| {
            for (name, time) in [("interval", keep_alive.interval), ("timeout", keep_alive.timeout)]
            {
                match time {
                    Some(time) => v.check_field(name, syntax::duration(time)),
                    None => v.missing(name, "pings need an interval and a timeout"),
                }
            }
            percentage(v, "intervalJitter", keep_alive.interval_jitter.as_ref());
        });
    }
}

/// Also for the mesh.
pub(super) fn outlier_detection(v: &mut Validator, outlier: Option<&OutlierDetection>) {
    let Some(outlier) = outlier else { return };
    v.field("outlierDetection", |v| {
        let all =
            [("interval", outlier.interval), ("baseEjectionTime", outlier.base_ejection_time)];
        times(v, &all, syntax::duration);
        for (name, percent) in [
            ("maxEjectionPercent", outlier.max_ejection_percent),
            ("minHealthPercent", outlier.min_health_percent),
        ] {
            v.check_field(name, syntax::percent(f64::from(percent)));
        }
        if outlier.consecutive_errors != 0 {
            v.field("consecutiveErrors", |v| {
                v.warn(Code::Deprecated, "not looked at any more; use `consecutive5xxErrors`");
            });
        }
        let local = outlier.consecutive_local_origin_failures.unwrap_or(0) > 0;
        if local && !outlier.split_external_local_origin_errors {
            let message = "needs `splitExternalLocalOriginErrors: true`";
            v.conflict("consecutiveLocalOriginFailures", message);
        }
        v.each(
            "outlierDetectionHttpErrorCodes",
            &outlier.outlier_detection_http_error_codes,
            |v, code| {
                let number = code.parse::<u32>().ok();
                if !number.is_some_and(|number| (100..600).contains(&number)) {
                    v.error(Code::BadValue, format!("`{code}` is not a status of HTTP"));
                }
            },
        );
    });
}

/// TLS towards a destination.
pub(super) fn client_tls(v: &mut Validator, tls: Option<&ClientTlsSettings>) {
    let Some(tls) = tls else { return };
    v.field("tls", |v| {
        let files = [
            ("clientCertificate", &tls.client_certificate),
            ("privateKey", &tls.private_key),
            ("caCertificates", &tls.ca_certificates),
            ("caCrl", &tls.ca_crl),
        ];
        match tls.mode {
            ClientTlsMode::Mutual if tls.credential_name.is_empty() => {
                for (name, file) in &files[..2] {
                    if file.is_empty() {
                        v.missing(name, "MUTUAL needs it, or `credentialName`");
                    }
                }
            }
            ClientTlsMode::IstioMutual => {
                for (name, _) in files[..3].iter().filter(|(_, file)| !file.is_empty()) {
                    v.conflict(name, "ISTIO_MUTUAL uses the workload's own certificate");
                }
                if !tls.credential_name.is_empty() {
                    let message = "ISTIO_MUTUAL uses the workload's own certificate";
                    v.conflict("credentialName", message);
                }
            }
            ClientTlsMode::Mutual | ClientTlsMode::Simple | ClientTlsMode::Disable => {}
        }
        if tls.mode != ClientTlsMode::IstioMutual && !tls.credential_name.is_empty() {
            for (name, _) in files.iter().filter(|(_, file)| !file.is_empty()) {
                v.conflict(name, format!("`{name}` excludes `credentialName`"));
            }
        }
        let verifies = !tls.ca_certificates.is_empty() || !tls.subject_alt_names.is_empty();
        if tls.insecure_skip_verify == Some(true) && verifies {
            let message =
                "nothing is verified, so `caCertificates` and `subjectAltNames` exclude it";
            v.conflict("insecureSkipVerify", message);
        }
    });
}

fn tunnel(v: &mut Validator, tunnel: &TunnelSettings) {
    if !["", "CONNECT", "POST"].contains(&tunnel.protocol.to_ascii_uppercase().as_str()) {
        let message = format!("`{}` is neither CONNECT nor POST", tunnel.protocol);
        v.check_field("protocol", Err(message));
    }
    if tunnel.target_host.is_empty() {
        v.missing("targetHost", "the tunnel's end is needed");
    } else if !syntax::is_ip(&tunnel.target_host) {
        v.check_field("targetHost", syntax::fqdn(&tunnel.target_host));
    }
    v.check_field("targetPort", syntax::port(tunnel.target_port));
}

fn retry_budget(v: &mut Validator, budget: &RetryBudget) {
    percentage(v, "percent", budget.percent.as_ref());
    times(v, &[("budgetInterval", budget.budget_interval)], syntax::duration);
}

fn percentage(v: &mut Validator, name: &str, percent: Option<&Percentage>) {
    if let Some(percent) = percent {
        v.field(name, |v| v.check_field("value", syntax::percent(percent.value)));
    }
}

fn not_negative(v: &mut Validator, name: &str, number: i32) {
    if number < 0 {
        v.check_field(name, Err(format!("{number} is less than 0")));
    }
}

fn times(
    v: &mut Validator,
    times: &[(&str, Option<Duration>)],
    check: impl Fn(Duration) -> syntax::Check,
) {
    for &(name, time) in times {
        if let Some(time) = time {
            v.check_field(name, check(time));
        }
    }
}
