//! Bytes instead of requests.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::connect::{Connection, Failure};
use super::{Client, end_of};
use crate::observe::Observed;
use crate::scenario::{Bytes, End};

/// Sends the bytes over a connection of their own, and reads to the end.
pub async fn send(
    client: &Client<'_>,
    bytes: &Bytes,
) -> (Option<SocketAddr>, Result<Observed, Failure>) {
    let mut connection = match client.connect().await {
        Ok(connection) => connection,
        Err(failure) => return (failure.from(), Err(failure)),
    };
    let mut observed = connection.observed();
    let mut received = Vec::new();
    let outcome = converse(&mut connection, bytes, &mut received).await;
    observed.end = match outcome {
        Ok(()) if received.is_empty() => End::Closed,
        Ok(()) => End::Complete,
        Err(error) => end_of(&error),
    };
    observed.body = String::from_utf8_lossy(&received).into_owned();
    (Some(connection.from), Ok(observed))
}

async fn converse(
    connection: &mut Connection,
    bytes: &Bytes,
    received: &mut Vec<u8>,
) -> std::io::Result<()> {
    let stream = &mut connection.stream;
    stream.write_all(bytes.send.as_bytes()).await?;
    stream.flush().await?;
    if bytes.wait && stream.read_buf(received).await? == 0 {
        return Ok(());
    }
    stream.shutdown().await?;
    while stream.read_buf(received).await? > 0 {}
    Ok(())
}
