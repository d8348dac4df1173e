//! The backends: whatever is spoken to them, they see it, and do what the exchange says.
//!
//! - [`stage`]: what they should do now, and what they saw.
//! - [`accept`]: from an accepted connection to its protocol, TLS taken off.
//! - [`http1`], [`http2`], [`raw`]: the protocols.

mod accept;
mod http1;
mod http2;
mod raw;
pub mod stage;

use std::sync::Arc;

use anyhow::Context;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;

use super::protocol::BackendPlace;
use super::tls::Keys;
use accept::Connection;
use stage::Stage;

/// The listening backends of a scenario; dropped, they listen no more.
pub struct Backends {
    tasks: JoinSet<()>,
}

impl Backends {
    /// Listens at every place but those that refuse.
    ///
    /// # Errors
    /// When an address cannot be bound.
    pub fn open(
        places: &[BackendPlace],
        refusing: &[String],
        stage: &Arc<Stage>,
        keys: &Arc<Keys>,
    ) -> anyhow::Result<Self> {
        let mut tasks = JoinSet::new();
        for place in places.iter().filter(|place| !refusing.contains(&place.name)) {
            let listen = || -> std::io::Result<TcpListener> {
                let socket = match place.address.is_ipv4() {
                    true => TcpSocket::new_v4()?,
                    false => TcpSocket::new_v6()?,
                };
                socket.set_reuseaddr(true)?;
                socket.bind(place.address)?;
                socket.listen(1024)
            };
            let listener =
                listen().with_context(|| format!("{} at {}", place.name, place.address))?;
            tasks.spawn(serve(listener, place.clone(), Arc::clone(stage), Arc::clone(keys)));
        }
        Ok(Self { tasks })
    }

    /// Closes the listeners and every connection.
    pub async fn close(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn serve(listener: TcpListener, place: BackendPlace, stage: Arc<Stage>, keys: Arc<Keys>) {
    let place = Arc::new(place);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // One that broke before it was accepted is nobody's.
                let Ok((tcp, _)) = accepted else { continue };
                let (place, stage, keys) = (place.clone(), stage.clone(), keys.clone());
                connections.spawn(async move {
                    // What breaks is seen by the client, and that is compared.
                    let _ = Connection::new(place, stage, keys).serve(tcp).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
