//! One request over a connection of its own: all that the demo's own traffic and its scrapes need.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;

/// Status and body of `GET path` at `address`, with `host` as authority.
pub async fn get(
    address: SocketAddr,
    host: &str,
    path: &str,
    limit: Duration,
) -> anyhow::Result<(u16, Bytes)> {
    tokio::time::timeout(limit, exchange(address, host, path))
        .await
        .with_context(|| format!("no answer from {address} in {limit:?}"))?
}

async fn exchange(address: SocketAddr, host: &str, path: &str) -> anyhow::Result<(u16, Bytes)> {
    let stream = tokio::net::TcpStream::connect(address)
        .await
        .with_context(|| format!("cannot connect to {address}"))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = http::Request::get(path)
        .header("host", host)
        .header("user-agent", "lateen-demo")
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    drop(sender);
    connection.abort();
    Ok((status, body))
}
