//! `/stats/prometheus`.

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use hyper::body::Bytes;

use super::Admin;
use super::respond::{Answer, pieces};
use crate::certificates;
use crate::config;

/// Prometheus' text format, version 0.0.4.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The proxy's metrics, then the application's.
pub(super) fn answer(admin: &Admin, application: Option<Bytes>) -> Answer {
    let mut own = String::new();
    write_configuration(&mut own, &admin.plans.status());
    write_certificate(&mut own, &admin.certificates.status(), SystemTime::now());
    let ready = u8::from(admin.unready().is_none());
    metric(&mut own, "lateen_ready", "Whether the proxy can serve.", "gauge", ready);
    let uptime = admin.started.elapsed().as_secs();
    metric(&mut own, "lateen_uptime_seconds", "Since the start.", "gauge", uptime);
    let own = admin.telemetry.expose().chain(std::iter::once(own)).map(Bytes::from);
    pieces(CONTENT_TYPE, own.chain(application))
}

fn write_configuration(out: &mut String, status: &config::Status) {
    let name = "lateen_control_plane_connected";
    metric(out, name, "Whether there is a stream.", "gauge", u8::from(status.connected));
    let name = "lateen_control_plane_connections_total";
    metric(out, name, "Streams that were opened.", "counter", status.connections);
    let name = "lateen_configuration_cut";
    let help = "Number of the last cut that was applied, as the control plane counts.";
    metric(out, name, help, "gauge", status.cut.unwrap_or(0));
    let name = "lateen_configuration_applied_total";
    metric(out, name, "Cuts that were applied.", "counter", status.applied);
    let name = "lateen_configuration_rejected_total";
    metric(out, name, "Cuts that were refused.", "counter", status.rejected);
    let name = "lateen_configuration_subscriptions";
    let help = "Directory entries whose details are subscribed to.";
    metric(out, name, help, "gauge", status.subscriptions);
}

fn write_certificate(out: &mut String, status: &certificates::Status, now: SystemTime) {
    let name = "lateen_certificate_issued_total";
    metric(out, name, "Certificates that were received.", "counter", status.renewals);
    let name = "lateen_certificate_failures_total";
    metric(out, name, "Requests for a certificate that failed.", "counter", status.failures);
    if let Some(certificate) = &status.certificate {
        let left = certificate.not_after().duration_since(now).unwrap_or(Duration::ZERO);
        let name = "istio_agent_cert_expiry_seconds";
        let help = "Time until the workload's certificate expires.";
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge");
        let _ = writeln!(out, "{name}{{resource_name=\"default\"}} {}", left.as_secs());
    }
}

fn metric(out: &mut String, name: &str, help: &str, kind: &str, value: impl std::fmt::Display) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
}
