//! The visitor: the sample workload that calls the others, so that there is something to see.

use std::net::SocketAddr;
use std::time::Duration;

use super::http;

/// What one call of the visitor goes to.
#[derive(Debug, Clone)]
pub struct Errand {
    /// Address of the service, as the visitor sees it.
    pub address: SocketAddr,
    /// Its name.
    pub host: String,
    /// What is asked for.
    pub path: String,
}

impl std::str::FromStr for Errand {
    type Err = String;

    /// Reads `ADDRESS=HOST/PATH`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (address, url) = text.split_once('=').ok_or("expected ADDRESS=HOST/PATH")?;
        let (host, path) = url.split_once('/').ok_or("expected a path after the host")?;
        Ok(Self {
            address: address.parse().map_err(|error| format!("{address}: {error}"))?,
            host: host.to_owned(),
            path: format!("/{path}"),
        })
    }
}

/// `lateen demo-visitor`: runs its errands over and over until it is ended.
pub async fn run(errands: Vec<Errand>, pause: Duration) -> anyhow::Result<()> {
    anyhow::ensure!(!errands.is_empty(), "the visitor has no errands");
    for errand in errands.iter().cycle() {
        // Failures are what the table is there to show.
        let _ = http::get(errand.address, &errand.host, &errand.path, Duration::from_secs(5)).await;
        tokio::time::sleep(pause).await;
    }
    Ok(())
}
