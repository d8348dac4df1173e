//! The counters in Prometheus' text format.

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
};

use super::{Admission, BUCKETS, BYTES, Histogram, Metrics, PushTrigger, Refusal, SECONDS, Sent};

/// Writes all metrics, each with its help and type.
pub(crate) fn render(metrics: &Metrics, version: &str) -> String {
    let mut page = Page(String::new());
    page.head("istio_build", "gauge", "Which build this is.");
    page.line("istio_build", &[("component", "pilot"), ("tag", version)], 1);

    page.head("pilot_xds", "gauge", "Connected proxies.");
    page.line("pilot_xds", &[("version", version)], load(&metrics.connections));
    page.head("pilot_services", "gauge", "Services in the mesh.");
    page.line("pilot_services", &[], load(&metrics.services));
    page.head("pilot_virt_services", "gauge", "VirtualServices in the mesh.");
    page.line("pilot_virt_services", &[], load(&metrics.virtual_services));

    page.head("pilot_push_triggers", "counter", "Objects that changed, by what they are.");
    for trigger in PushTrigger::ALL {
        let count = count(&metrics.triggers[trigger as usize]);
        page.line("pilot_push_triggers", &[("type", trigger.label())], count);
    }
    let help = "Cuts and, to Envoys, responses that were sent.";
    page.by_type("pilot_xds_pushes", help, &metrics.pushes);
    let help = "Cuts and, by Envoys, responses that a proxy refused.";
    page.by_type("pilot_total_xds_rejects", help, &metrics.rejects);
    page.head("lateen_stream_refusals", "counter", "Streams that were not served, by why.");
    page.refusals("lateen_stream_refusals", &metrics.stream_refusals);

    let help = "Seconds from a change to its acknowledgement by a proxy.";
    page.histogram("pilot_proxy_convergence_time", help, &SECONDS, &metrics.convergence);
    let help = "Seconds in which the cuts of one round were made.";
    page.histogram("pilot_xds_push_time", help, &SECONDS, &metrics.push_time);
    let help = "Bytes of the resources in one cut.";
    page.histogram("pilot_xds_config_size_bytes", help, &BYTES, &metrics.cut_bytes);

    for what in Admission::ALL {
        let (name, help) = what.counter();
        page.head(name, "counter", help);
        page.line(name, &[], count(&metrics.admissions[what as usize]));
    }
    page.certificates(metrics);
    page.0
}

fn load(gauge: &std::sync::atomic::AtomicUsize) -> u64 {
    gauge.load(Ordering::Relaxed) as u64
}

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn sum_of(counters: &[AtomicU64], which: &[Refusal]) -> u64 {
    which.iter().map(|refusal| count(&counters[*refusal as usize])).sum()
}

struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.push(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    /// Label values are words of ours: nothing in them has to be escaped.
    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.push(format_args!("{name}"));
        for (index, (label, text)) in labels.iter().enumerate() {
            let open = if index == 0 { "{" } else { "," };
            self.push(format_args!("{open}{label}=\"{text}\""));
        }
        let close = if labels.is_empty() { "" } else { "}" };
        self.push(format_args!("{close} {value}\n"));
    }

    fn by_type(&mut self, name: &str, help: &str, counters: &[AtomicU64; Sent::COUNT]) {
        self.head(name, "counter", help);
        for sent in Sent::all() {
            self.line(name, &[("type", sent.label())], count(&counters[sent.index()]));
        }
    }

    fn refusals(&mut self, name: &str, counters: &[AtomicU64]) {
        for refusal in Refusal::ALL {
            let count = count(&counters[refusal as usize]);
            if count > 0 {
                self.line(name, &[("reason", refusal.label())], count);
            }
        }
    }

    fn histogram(&mut self, name: &str, help: &str, bounds: &[f64; BUCKETS], all: &Histogram) {
        self.head(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        // Read before the buckets, so that what is observed meanwhile cannot make it too small.
        let total = count(&all.count);
        let mut below = 0;
        for (bound, counter) in bounds.iter().zip(&all.buckets) {
            below += count(counter);
            self.line(&bucket, &[("le", &bound.to_string())], below.min(total));
        }
        self.line(&bucket, &[("le", "+Inf")], total);
        self.line(&format!("{name}_sum"), &[], count(&all.sum) as f64 / 1e6);
        self.line(&format!("{name}_count"), &[], total);
    }

    /// Istio's names for the CA, and one of ours that says why.
    fn certificates(&mut self, metrics: &Metrics) {
        let refused = &metrics.csr_refusals;
        let unauthenticated = [
            Refusal::NoCredentials,
            Refusal::Malformed,
            Refusal::Foreign,
            Refusal::WrongAudience,
            Refusal::Expired,
            Refusal::NotYetValid,
            Refusal::NoIdentity,
        ];
        let parsing = [Refusal::BadRequest, Refusal::WeakKey];
        let signing = [Refusal::Lifetime, Refusal::Internal];
        for (name, help, value) in [
            ("citadel_server_csr_count", "Certificates asked for.", count(&metrics.csrs)),
            (
                "citadel_server_success_cert_issuance_count",
                "Certificates signed.",
                count(&metrics.certificates),
            ),
            (
                "citadel_server_authentication_failure_count",
                "Certificates refused since the caller did not prove who it is.",
                sum_of(refused, &unauthenticated),
            ),
            (
                "citadel_server_csr_parsing_err_count",
                "Certificates refused since the request or its key is not acceptable.",
                sum_of(refused, &parsing),
            ),
            (
                "citadel_server_csr_sign_err_count",
                "Certificates refused since they could not be signed.",
                sum_of(refused, &signing),
            ),
        ] {
            self.head(name, "counter", help);
            self.line(name, &[], value);
        }
        self.head("lateen_csr_refusals", "counter", "Certificates refused, by why.");
        self.refusals("lateen_csr_refusals", refused);
        let name = "citadel_server_root_cert_expiry_timestamp";
        self.head(name, "gauge", "When the certificate authority ends, in seconds since 1970.");
        self.line(name, &[], count(&metrics.root_expiry));
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        self.0.write_fmt(text).expect("invariant: a string takes whatever is written");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_page_counts() {
        let metrics = Metrics::default();
        metrics.set_connections(3);
        metrics.converged(Duration::from_millis(40));
        metrics.converged(Duration::from_secs(60));
        metrics.csr();
        metrics.csr_refused(Refusal::Expired);
        metrics.rejected(Sent::Kind(lateen_envoy::Kind::Cluster));
        let page = render(&metrics, "0.1.0");
        for line in [
            "pilot_xds{version=\"0.1.0\"} 3",
            "pilot_total_xds_rejects{type=\"native\"} 0",
            "pilot_total_xds_rejects{type=\"cds\"} 1",
            "pilot_proxy_convergence_time_bucket{le=\"0.01\"} 0",
            "pilot_proxy_convergence_time_bucket{le=\"0.05\"} 1",
            "pilot_proxy_convergence_time_bucket{le=\"30\"} 1",
            "pilot_proxy_convergence_time_bucket{le=\"+Inf\"} 2",
            "pilot_proxy_convergence_time_sum 60.04",
            "pilot_proxy_convergence_time_count 2",
            "citadel_server_csr_count 1",
            "citadel_server_authentication_failure_count 1",
            "lateen_csr_refusals{reason=\"expired\"} 1",
            "istio_build{component=\"pilot\",tag=\"0.1.0\"} 1",
        ] {
            assert!(page.lines().any(|other| other == line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn every_series_has_a_head_before_it() {
        let page = render(&Metrics::default(), "0.1.0");
        let mut head = "";
        for line in page.lines() {
            match line.strip_prefix("# TYPE ") {
                Some(rest) => head = rest.split(' ').next().unwrap_or_default(),
                None if line.starts_with('#') => {}
                None => assert!(line.starts_with(head), "{line} stands below {head}"),
            }
        }
    }
}
