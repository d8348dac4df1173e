//! A probe that injection has led to the proxy, and asking it (Kubernetes: `v1.Probe`).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::header::{CONNECTION, HOST, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri};
use http_body_util::Empty;
use hyper::body::Bytes;
use serde::Deserialize;

use super::ask::{self, AskError};
use super::{Answered, check};

/// Of an answer's body, so much is shown to the kubelet.
const BODY: usize = 10 * 1024;

/// Redirections that are followed, to the same host only.
const REDIRECTIONS: usize = 10;

/// A probe as injection writes it: one of the three kinds.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    http_get: Option<HttpGet>,
    tcp_socket: Option<TcpSocket>,
    grpc: Option<Grpc>,
    /// In seconds; Kubernetes' default is 1.
    timeout_seconds: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HttpGet {
    #[serde(default)]
    path: String,
    port: u16,
    /// `HTTP` or `HTTPS`.
    #[serde(default)]
    scheme: String,
    #[serde(default)]
    http_headers: Vec<Header>,
}

#[derive(Debug, Clone, Deserialize)]
struct Header {
    name: String,
    #[serde(default)]
    value: String,
}

#[derive(Debug, Clone, Deserialize)]
struct TcpSocket {
    port: u16,
}

#[derive(Debug, Clone, Deserialize)]
struct Grpc {
    port: u16,
    service: Option<String>,
}

impl Probe {
    /// Asks the application at `address`. `headers` are those of the kubelet's request.
    pub(super) async fn ask(
        &self,
        address: IpAddr,
        headers: &HeaderMap,
    ) -> Result<Answered, AskError> {
        let limit = Duration::from_secs(self.timeout_seconds.unwrap_or(1).max(1));
        let asked = async {
            if let Some(get) = &self.http_get {
                return get.ask(address, headers).await;
            }
            if let Some(socket) = &self.tcp_socket {
                ask::connect(SocketAddr::new(address, socket.port)).await?;
            }
            if let Some(grpc) = &self.grpc {
                let to = SocketAddr::new(address, grpc.port);
                check::is_serving(to, grpc.service.as_deref().unwrap_or_default()).await?;
            }
            Ok(Answered { status: StatusCode::OK, body: Bytes::new() })
        };
        tokio::time::timeout(limit, asked).await.unwrap_or(Err(AskError::Timeout(limit)))
    }
}

impl HttpGet {
    async fn ask(&self, address: IpAddr, headers: &HeaderMap) -> Result<Answered, AskError> {
        let to = SocketAddr::new(address, self.port);
        let tls = self.scheme.eq_ignore_ascii_case("https");
        let mut path =
            if self.path.starts_with('/') { self.path.clone() } else { format!("/{}", self.path) };
        for _ in 0..=REDIRECTIONS {
            let request = self.request(to, &path, headers)?;
            let response = ask::ask(to, tls, request, BODY).await?;
            let status = response.status();
            match response.headers().get(LOCATION).filter(|_| status.is_redirection()) {
                Some(location) => match elsewhere(location, to) {
                    Next::Here(next) => path = next,
                    // As the kubelet: another host is not asked, and the answer is a good one.
                    Next::Elsewhere => {
                        return Ok(Answered { status: StatusCode::OK, body: Bytes::new() });
                    }
                },
                None => return Ok(Answered { status, body: response.into_body() }),
            }
        }
        Err(AskError::Answer(format!("more than {REDIRECTIONS} redirections")))
    }

    fn request(
        &self,
        to: SocketAddr,
        path: &str,
        headers: &HeaderMap,
    ) -> Result<Request<Empty<Bytes>>, http::Error> {
        let mut request = Request::get(path).body(Empty::new())?;
        let out = request.headers_mut();
        out.insert(HOST, HeaderValue::try_from(to.to_string())?);
        if let Some(agent) = headers.get(USER_AGENT) {
            out.insert(USER_AGENT, agent.clone());
        }
        out.insert(CONNECTION, HeaderValue::from_static("close"));
        for header in &self.http_headers {
            let name = HeaderName::try_from(&header.name)?;
            out.insert(name, HeaderValue::try_from(&header.value)?);
        }
        Ok(request)
    }
}

/// Where a redirection leads.
enum Next {
    Here(String),
    Elsewhere,
}

fn elsewhere(location: &HeaderValue, asked: SocketAddr) -> Next {
    let Some(uri) = location.to_str().ok().and_then(|text| text.parse::<Uri>().ok()) else {
        return Next::Elsewhere;
    };
    let same = uri.authority().is_none_or(|authority| *authority == asked.to_string().as_str());
    match uri.path_and_query() {
        Some(path) if same => Next::Here(path.to_string()),
        _ => Next::Elsewhere,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::pod::Pod;

    /// An application that answers each connection with the next of these, whatever it is asked; what
    /// it was asked comes back.
    async fn application(
        answers: Vec<&'static str>,
    ) -> (u16, tokio::task::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = tokio::spawn(async move {
            let mut asked = Vec::new();
            for answer in answers {
                let (mut stream, from) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let read = stream.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                asked.push(format!("{} {request}", from.ip()));
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            asked
        });
        (port, served)
    }

    fn pod(probe: &serde_json::Value) -> Pod {
        let probes = serde_json::json!({ "/app-health/web/livez": probe }).to_string();
        Pod::new("127.0.0.1".parse().unwrap(), Some(&probes), None).unwrap()
    }

    async fn ask(pod: &Pod) -> Answered {
        pod.probe("/app-health/web/livez", &HeaderMap::new()).await.unwrap()
    }

    #[tokio::test]
    async fn the_applications_answer_is_the_probes() {
        let ok = "HTTP/1.1 203 Fine\r\ncontent-length: 2\r\n\r\nok";
        let broken = "HTTP/1.1 503 Broken\r\ncontent-length: 0\r\n\r\n";
        let (port, served) = application(vec![ok, broken]).await;
        let pod = pod(&serde_json::json!({ "httpGet": {
            "path": "live?a=b", "port": port, "scheme": "HTTP",
            "httpHeaders": [{ "name": "Host", "value": "web.example" }],
        }, "timeoutSeconds": 5 }));
        let answered = ask(&pod).await;
        assert_eq!((answered.status.as_u16(), &*answered.body), (203, &b"ok"[..]));
        assert_eq!(ask(&pod).await.status, StatusCode::SERVICE_UNAVAILABLE);
        let asked = served.await.unwrap();
        assert!(asked[0].starts_with("127.0.0.6 GET /live?a=b HTTP/1.1\r\n"), "{asked:?}");
        assert!(asked[0].contains("host: web.example\r\n"), "{asked:?}");
        assert!(pod.probe("/app-health/web/readyz", &HeaderMap::new()).await.is_none());
    }

    #[tokio::test]
    async fn redirections_are_followed_on_the_same_host() {
        let here = "HTTP/1.1 302 Found\r\nlocation: /there\r\ncontent-length: 0\r\n\r\n";
        let bad = "HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n";
        let away =
            "HTTP/1.1 302 Found\r\nlocation: http://else.example/\r\ncontent-length: 0\r\n\r\n";
        let (port, served) = application(vec![here, bad, away]).await;
        let pod = pod(&serde_json::json!({ "httpGet": { "path": "/", "port": port } }));
        assert_eq!(ask(&pod).await.status, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(ask(&pod).await.status, StatusCode::OK, "as the kubelet takes it");
        assert!(served.await.unwrap()[1].contains("GET /there "));
    }

    #[tokio::test]
    async fn a_socket_is_enough_for_a_tcp_probe_and_needed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let pod = pod(&serde_json::json!({ "tcpSocket": { "port": port }, "timeoutSeconds": 3 }));
        assert_eq!(ask(&pod).await.status, StatusCode::OK);
        drop(listener);
        assert_eq!(ask(&pod).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[tokio::test]
    async fn silence_is_a_failure_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for kind in ["httpGet", "grpc"] {
            let answered = ask(&pod(&serde_json::json!({ kind: { "port": port } }))).await;
            assert_eq!(answered.status, StatusCode::INTERNAL_SERVER_ERROR);
            let text = String::from_utf8_lossy(&answered.body).into_owned();
            assert!(text.contains("no answer within 1s"), "{kind}: {text}");
        }
    }
}
