//! The server on the Unix socket that the agent shares with its Envoy.

use std::io;
use std::path::Path;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;

use crate::access_log::{AccessLogServiceServer, AccessLogs};
use crate::relay::Relay;
use crate::secrets::{SecretDiscoveryServiceServer, Secrets};

/// Bytes of the largest message of the access log. Envoy sends what it has after 64 kB.
const LARGEST_LOG: usize = 16 * 1024 * 1024;

/// What is served.
#[derive(Debug)]
pub struct Services {
    /// Envoy's configuration.
    pub relay: Relay,
    /// Its secrets.
    pub secrets: Secrets,
    /// Its access log.
    pub access_logs: AccessLogs,
}

/// Opens the socket; Envoy may connect from then on.
///
/// # Errors
/// When there can be no socket at this path.
pub fn open(path: &Path) -> io::Result<UnixListener> {
    UnixListener::bind(path)
}

/// Serves for as long as the task runs.
///
/// # Errors
/// When the socket breaks.
pub async fn serve(
    listener: UnixListener,
    services: Services,
) -> Result<(), tonic::transport::Error> {
    let (sender, connections) = mpsc::channel(1);
    tokio::spawn(accept(listener, sender));
    let Services { relay, secrets, access_logs } = services;
    let access_logs =
        AccessLogServiceServer::new(access_logs).max_decoding_message_size(LARGEST_LOG);
    Server::builder()
        .add_service(relay)
        .add_service(SecretDiscoveryServiceServer::new(secrets))
        .add_service(access_logs)
        .serve_with_incoming(ReceiverStream::new(connections))
        .await
}

async fn accept(listener: UnixListener, connections: mpsc::Sender<io::Result<UnixStream>>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if connections.send(Ok(stream)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                // Out of file descriptors, most likely: wait for some to come free.
                tracing::warn!(%error, "Envoy cannot be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}
