//! Questions to Envoy's admin page.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Bytes of the largest page that is taken: metrics of thousands of clusters.
const LARGEST: usize = 256 * 1024 * 1024;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Envoy's admin page.
#[derive(Debug, Clone, Copy)]
pub struct EnvoyAdmin {
    address: SocketAddr,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens, or the connection broke.
    #[error("Envoy's admin page does not answer: {0}")]
    Connection(#[from] std::io::Error),
    /// The answer is no HTTP.
    #[error("Envoy's admin page does not answer: {0}")]
    Http(#[from] hyper::Error),
    /// The question is none.
    #[error("{0} cannot be asked for: {1}")]
    Question(String, http::Error),
    /// The page broke off, or is too large.
    #[error("Envoy's page {0} cannot be read: {1}")]
    Body(String, Box<dyn std::error::Error + Send + Sync>),
    /// The answer is an error.
    #[error("Envoy answers {0} with {1}")]
    Refused(String, StatusCode),
    /// It takes too long.
    #[error("Envoy did not answer within {LIMIT:?}")]
    Timeout,
}

impl EnvoyAdmin {
    /// The page at this address.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// Reads a page.
    ///
    /// # Errors
    /// When it is not answered with 200 in time.
    pub async fn get(&self, path: &str) -> Result<Bytes, AskError> {
        self.ask(Method::GET, path).await
    }

    /// Has something done.
    ///
    /// # Errors
    /// When it is not answered with 200 in time.
    pub async fn post(&self, path: &str) -> Result<Bytes, AskError> {
        self.ask(Method::POST, path).await
    }

    /// Values of the counters and gauges whose names match the expression.
    ///
    /// # Errors
    /// When they are not answered in time.
    pub async fn stats(&self, expression: &str) -> Result<Vec<(String, u64)>, AskError> {
        let path = format!("/stats?filter={}", escape(expression));
        let page = self.get(&path).await?;
        Ok(read_stats(&String::from_utf8_lossy(&page)))
    }

    async fn ask(&self, method: Method, path: &str) -> Result<Bytes, AskError> {
        match tokio::time::timeout(LIMIT, self.exchange(method, path)).await {
            Ok(answer) => answer,
            Err(_) => Err(AskError::Timeout),
        }
    }

    async fn exchange(&self, method: Method, path: &str) -> Result<Bytes, AskError> {
        let stream = TcpStream::connect(self.address).await?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.address.to_string())
            .body(Empty::<Bytes>::new())
            .map_err(|error| AskError::Question(path.to_owned(), error))?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST).collect().await;
        connection.abort();
        let body = body.map_err(|error| AskError::Body(path.to_owned(), error))?;
        match status {
            StatusCode::OK => Ok(body.to_bytes()),
            _ => Err(AskError::Refused(path.to_owned(), status)),
        }
    }
}

/// Reads `name: value` lines.
fn read_stats(page: &str) -> Vec<(String, u64)> {
    page.lines()
        .filter_map(|line| {
            let (name, value) = line.rsplit_once(": ")?;
            Some((name.to_owned(), value.parse().ok()?))
        })
        .collect()
}

/// Percent-encodes a parameter of a query.
fn escape(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stats_are_lines_of_names_and_numbers() {
        let page = "server.state: 0\nhttp.outbound_[::1]_80;.downstream_rq_active: 3\nx: P0(1)\n";
        let expected = [("server.state", 0), ("http.outbound_[::1]_80;.downstream_rq_active", 3)];
        let expected = expected.map(|(name, value)| (name.to_owned(), value));
        assert_eq!(read_stats(page), expected);
        assert_eq!(escape("^a\\.(b|c)$"), "%5Ea%5C.%28b%7Cc%29%24");
    }
}
