//! One question to the resolver.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;

/// The addresses of a name and how long they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// In the order of the answer.
    pub addresses: Vec<IpAddr>,
    /// Time to live.
    pub lifetime: Duration,
}

type Answer = Pin<Box<dyn Future<Output = Result<Found, String>> + Send>>;

/// Asks for the addresses of a name; the error says why there are none.
pub type Lookup = Box<dyn Fn(Arc<str>) -> Answer + Send + Sync>;

/// The system's resolver: `/etc/hosts`, then the name servers of `/etc/resolv.conf`. A name without
/// a dot is looked for in the search domains.
///
/// # Errors
/// When `/etc/resolv.conf` cannot be used.
pub fn system() -> Result<Lookup, String> {
    let resolver = TokioResolver::builder_tokio()
        .and_then(|mut builder| {
            // Answers are kept by `Resolver`, which also keeps them beyond their time.
            builder.options_mut().cache_size = 0;
            builder.build()
        })
        .map_err(|error| error.to_string())?;
    Ok(Box::new(move |name| {
        let resolver = resolver.clone();
        Box::pin(async move {
            let answer = resolver.lookup_ip(&*name).await.map_err(|error| error.to_string())?;
            let lifetime =
                answer.valid_until().saturating_duration_since(std::time::Instant::now());
            Ok(Found { addresses: answer.iter().collect(), lifetime })
        })
    }))
}
