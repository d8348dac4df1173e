//! The application's metrics, which Prometheus asks the proxy for together with its own
//! (`enablePrometheusMerge`).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use http::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Bytes;
use serde::Deserialize;

use super::ask::{self, AskError};

/// Istio's bound on what an application may say.
const LARGEST: usize = 10 * 1024 * 1024;

/// Prometheus' own default.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What is asked for: text, since it is joined to text of ours.
const WANTED: &str = "text/plain;version=0.0.4;q=1,*/*;q=0.1";

/// The header by which Prometheus says how long it waits.
const PATIENCE: &str = "x-prometheus-scrape-timeout-seconds";

/// The line that ends a page of OpenMetrics.
const END: &[u8] = b"# EOF\n";

/// Where the application's metrics are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scrape {
    path: String,
    port: u16,
}

/// The annotations `prometheus.io/…` as injection writes them.
#[derive(Debug, Deserialize)]
struct Annotations {
    #[serde(default)]
    scrape: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    port: String,
}

impl Scrape {
    /// Reads the annotations; `None`: the application is not to be scraped.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, serde_json::Error> {
        let Annotations { scrape, path, port } = serde_json::from_str(text)?;
        if scrape == "false" {
            return Ok(None);
        }
        let port = match port.as_str() {
            "" => 80,
            text => text.parse().map_err(|_| {
                serde::de::Error::custom(format!("prometheus.io/port {text:?} is no port"))
            })?,
        };
        let path = match path.as_str() {
            "" => "/metrics".to_owned(),
            path if path.starts_with('/') => path.to_owned(),
            path => format!("/{path}"),
        };
        Ok(Some(Self { path, port }))
    }

    /// Asks on loopback: Istio asks `localhost`, which is either family.
    async fn ask(&self, headers: &HeaderMap) -> Result<(SocketAddr, Response<Bytes>), AskError> {
        let four = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let six = SocketAddr::from((Ipv6Addr::LOCALHOST, self.port));
        let refused = match ask::ask(four, false, self.request(four, headers)?, LARGEST).await {
            Err(error @ AskError::Connect(..)) => error,
            answer => return Ok((four, answer?)),
        };
        match ask::ask(six, false, self.request(six, headers)?, LARGEST).await {
            Err(AskError::Connect(..)) => Err(refused),
            answer => Ok((six, answer?)),
        }
    }

    fn request(
        &self,
        to: SocketAddr,
        headers: &HeaderMap,
    ) -> Result<Request<Empty<Bytes>>, AskError> {
        let mut request = Request::get(&self.path).body(Empty::new())?;
        let out = request.headers_mut();
        out.insert(HOST, HeaderValue::try_from(to.to_string()).map_err(http::Error::from)?);
        out.insert(ACCEPT, HeaderValue::from_static(WANTED));
        out.insert(CONNECTION, HeaderValue::from_static("close"));
        for name in [USER_AGENT.as_str(), PATIENCE] {
            if let Some(value) = headers.get(name) {
                out.insert(http::HeaderName::from_static(name), value.clone());
            }
        }
        Ok(request)
    }

    /// Asks the application. `headers` are those of Prometheus' request.
    pub(super) async fn fetch(&self, headers: &HeaderMap) -> Result<Bytes, AskError> {
        let patience = headers.get(PATIENCE).and_then(|value| value.to_str().ok()?.parse().ok());
        let limit = patience
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .unwrap_or(TIMEOUT);
        let (to, response) = tokio::time::timeout(limit, self.ask(headers))
            .await
            .unwrap_or(Err(AskError::Timeout(limit)))?;
        if response.status() != StatusCode::OK {
            return Err(AskError::Answer(format!("{to}{}: {}", self.path, response.status())));
        }
        if !is_text(response.headers()) {
            let message = format!("{to}{} does not answer with text", self.path);
            return Err(AskError::Answer(message));
        }
        let mut page = response.into_body();
        if page.ends_with(END) {
            page.truncate(page.len() - END.len());
        }
        Ok(page)
    }
}

/// Text, also OpenMetrics; what says nothing of itself is taken for it.
fn is_text(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_none_or(|kind| {
        kind.starts_with("text/") || kind.starts_with("application/openmetrics-text")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_have_prometheus_defaults() {
        let parse = |text: &str| Scrape::parse(text).unwrap();
        let scrape = |path: &str, port| Some(Scrape { path: path.to_owned(), port });
        assert_eq!(parse(r#"{"scrape":"","path":"","port":""}"#), scrape("/metrics", 80));
        assert_eq!(
            parse(r#"{"scrape":"true","path":"m?x=y","port":"9090"}"#),
            scrape("/m?x=y", 9090)
        );
        assert_eq!(parse(r#"{"scrape":"false","port":"9090"}"#), None);
        assert!(Scrape::parse(r#"{"port":"http"}"#).is_err());
        assert!(Scrape::parse("7").is_err());
    }
}
