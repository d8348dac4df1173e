//! `grpc.health.v1.Health/Check`, as Kubernetes' gRPC probes ask it.

use std::net::SocketAddr;

use http::{Method, Request, Version};
use hyper::body::Bytes;
use prost::Message;

use super::ask::{self, AskError};

/// `HealthCheckRequest`.
#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// `HealthCheckResponse`.
#[derive(Clone, PartialEq, Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// `HealthCheckResponse.ServingStatus.SERVING`.
const SERVING: i32 = 1;

/// Bytes before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Asks the service whether it serves.
pub(super) async fn is_serving(to: SocketAddr, service: &str) -> Result<(), AskError> {
    let stream = ask::connect(to).await?;
    let (sender, connection) = h2::client::handshake(stream).await?;
    let running = tokio::spawn(connection);
    let asked = check(sender, to, service).await;
    running.abort();
    asked
}

async fn check(
    sender: h2::client::SendRequest<Bytes>,
    to: SocketAddr,
    service: &str,
) -> Result<(), AskError> {
    let uri = format!("http://{to}/grpc.health.v1.Health/Check");
    let request = Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(uri)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
    let (response, mut body) = sender.ready().await?.send_request(request, false)?;
    let message = HealthCheckRequest { service: service.to_owned() }.encode_to_vec();
    body.send_data(framed(&message), true)?;
    let (head, mut answer) = response.await?.into_parts();
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.data().await {
        let chunk = chunk?;
        answer.flow_control().release_capacity(chunk.len())?;
        bytes.extend_from_slice(&chunk);
        if bytes.len() > 4096 {
            return Err(AskError::Answer("the answer is too long for a health check".to_owned()));
        }
    }
    let trailers = answer.trailers().await?;
    let status = trailers.as_ref().unwrap_or(&head.headers).get("grpc-status");
    let status = status.and_then(|status| status.to_str().ok()).unwrap_or("none");
    if status != "0" {
        return Err(AskError::Answer(format!("gRPC status {status}")));
    }
    let message = bytes.get(PREFIX..).unwrap_or_default();
    let answer = HealthCheckResponse::decode(message)
        .map_err(|error| AskError::Answer(format!("no answer to a health check: {error}")))?;
    if answer.status != SERVING {
        return Err(AskError::Answer(format!("the service says {}, not SERVING", answer.status)));
    }
    Ok(())
}

fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut bytes = vec![0];
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(message);
    bytes.into()
}
