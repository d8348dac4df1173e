//! `lateen demo --check`: the promises of the demo, asserted from outside.
//!
//! Nothing here looks into our own processes: requests are made by curl, certificates are read by
//! openssl, the sample applications' own logs say what arrived, and Prometheus says what was
//! counted.

mod canary;
mod metrics;
mod requests;
mod tls;
mod tool;

use std::net::SocketAddr;
use std::path::PathBuf;

use super::files::Folders;
use super::sabotage::Sabotage;
use crate::commands::addresses::Addresses;

/// What a check needs to know of the running demo.
pub struct Site {
    /// Its folders.
    pub folders: Folders,
    /// Where everything listens.
    pub addresses: Addresses,
    /// Where the gateway takes requests.
    pub gateway: SocketAddr,
    /// What was broken on purpose.
    pub sabotage: Option<Sabotage>,
}

impl Site {
    /// Where `workload` of the shop sees port 80 of `service`.
    pub(super) fn seen_from(&self, workload: &str, service: &str) -> anyhow::Result<SocketAddr> {
        let host = format!("{service}.shop.svc.cluster.local");
        self.addresses.service("shop", workload, &host, 80)
    }

    /// Where the sidecar of `workload` takes connections for port 8080.
    fn inbound(&self, workload: &str) -> anyhow::Result<SocketAddr> {
        self.addresses.inbound("shop", workload, 8080)
    }

    /// The log of the sample application of `workload`.
    fn application_log(&self, workload: &str) -> PathBuf {
        self.folders.logs.join(format!("{workload}.log"))
    }
}

/// Outcome of one check: what was seen, or why the promise is not kept.
type Outcome = anyhow::Result<String>;

/// Runs all checks, prints a line for each, and returns the names of those that failed.
pub async fn run(site: &Site) -> anyhow::Result<Vec<&'static str>> {
    tool::require(&["curl", "openssl", "prometheus"])?;
    let mut failed = Vec::new();
    let mut report = |name: &'static str, promise: &str, outcome: Outcome| match outcome {
        Ok(seen) => println!("ok    {name:<12} {promise}: {seen}"),
        Err(error) => {
            println!("FAIL  {name:<12} {promise}: {error:#}");
            failed.push(name);
        }
    };
    report("policy", "one policy refuses a path everywhere", requests::policy(site).await);
    report("mutual-tls", "peers prove who they are", tls::mutual_tls(site).await);
    report("strict", "plain text is refused", tls::plain_text_refused(site).await);
    report("denied", "a caller is denied", requests::caller_denied(site).await);
    report("retry", "a failing backend is retried away", requests::retry(site).await);
    report("timeout", "a timeout is kept", requests::timeout(site).await);
    report("canary", "weights split 90/10, then 50/50", canary::split(site).await);
    report("metrics", "Prometheus counts the requests", metrics::counted(site).await);
    Ok(failed)
}
