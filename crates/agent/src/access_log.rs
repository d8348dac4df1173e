//! Istio's standard metrics, made from Envoy's access log.
//!
//! Envoy sends an entry for each request and several for each connection of opaque bytes; what is in
//! them is said where they are configured (`lateen-envoy`, `filter::access_log`). Each is turned into
//! the record that a native proxy would have made of the same exchange (`record`), and counted by the
//! same code, under the same labels (`count`).
//!
//! Nothing is lost on this side: when counting is slower than Envoy, Envoy is not read from, drops
//! what does not fit its buffers, and says how many in
//! `envoy_access_logs_grpc_access_log_logs_dropped`.

mod count;
mod flags;
mod record;

use std::rc::Rc;
use std::sync::Arc;

use lateen_proxy::telemetry::Shard;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tonic::{Request, Response, Status as GrpcStatus, Streaming};

use crate::status::Status;
use crate::wire::access_log::access_log_service_server::AccessLogService;
use crate::wire::access_log::stream_access_logs_message::LogEntries;
use crate::wire::access_log::{StreamAccessLogsMessage, StreamAccessLogsResponse};
use count::Count;
use record::Place;

pub use crate::wire::access_log::access_log_service_server::AccessLogServiceServer;

/// How many messages wait to be counted.
const WAITING: usize = 4;

/// Entries of one message, and where they come from.
struct Batch {
    place: Place,
    entries: LogEntries,
}

/// The service to which Envoy's cluster `lateen-access-log` leads.
#[derive(Debug, Clone)]
pub struct AccessLogs {
    batches: mpsc::Sender<Batch>,
    status: Arc<Status>,
}

/// What the service has received and nobody has counted yet.
pub struct Received(mpsc::Receiver<Batch>);

/// The service, and the other end of it for [`count`].
#[must_use]
pub fn service(status: Arc<Status>) -> (AccessLogs, Received) {
    let (batches, received) = mpsc::channel(WAITING);
    (AccessLogs { batches, status }, Received(received))
}

/// Counts what is received, until the service is gone.
pub async fn count(Received(mut batches): Received, shard: Rc<Shard>, status: Arc<Status>) {
    let mut count = Count::new(shard);
    let mut lives = status.lives();
    loop {
        tokio::select! {
            // The entries that a former Envoy has sent come before its end.
            biased;
            batch = batches.recv() => match batch {
                Some(Batch { place, entries: LogEntries::HttpLogs(logs) }) => {
                    logs.log_entry.iter().for_each(|entry| count.http(place, entry));
                }
                Some(Batch { place, entries: LogEntries::TcpLogs(logs) }) => {
                    logs.log_entry.iter().for_each(|entry| count.tcp(place, entry));
                }
                None => return,
            },
            Ok(()) = lives.changed() => count.envoy_ended(),
        }
    }
}

impl AccessLogs {
    /// Takes a message; `place` is that of the stream's first one.
    async fn take(&self, place: &mut Option<Place>, message: StreamAccessLogsMessage) {
        if let Some(identifier) = message.identifier {
            *place = Place::of_log(&identifier.log_name);
            if place.is_none() {
                tracing::error!(name = identifier.log_name, "an access log of unknown name");
            }
        }
        let Some(entries) = message.log_entries else { return };
        let Some(place) = *place else {
            self.status.entries_unread(match entries {
                LogEntries::HttpLogs(logs) => logs.log_entry.len(),
                LogEntries::TcpLogs(logs) => logs.log_entry.len(),
            });
            return;
        };
        // Without a receiver the agent is going down.
        let _ = self.batches.send(Batch { place, entries }).await;
    }
}

#[tonic::async_trait]
impl AccessLogService for AccessLogs {
    async fn stream_access_logs(
        &self,
        request: Request<Streaming<StreamAccessLogsMessage>>,
    ) -> Result<Response<StreamAccessLogsResponse>, GrpcStatus> {
        let mut messages = request.into_inner();
        let mut place = None;
        while let Some(message) = messages.next().await {
            self.take(&mut place, message?).await;
        }
        Ok(Response::new(StreamAccessLogsResponse {}))
    }
}
