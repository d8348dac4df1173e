//! The backends: whatever is spoken to them, they see it, and do what the exchange says.
//!
//! - `stage`: what they should do now, and what they saw.
//! - `accept`: from an accepted connection to its protocol, TLS taken off.
//! - `http1`, `http2`, `raw`: the protocols.

mod accept;
mod http1;
mod http2;
mod raw;
pub mod stage;

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use anyhow::Context;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;

use super::protocol::BackendPlace;
use super::tls::Keys;
use crate::scenario::Scenario;
use accept::Connection;
use stage::Stage;

/// The listening backends of a scenario; dropped, they listen no more.
pub struct Backends {
    tasks: JoinSet<()>,
    /// Listeners that accept nobody, each with the one connection that waits for it.
    _hanging: Vec<(TcpListener, TcpStream)>,
}

impl Backends {
    /// Listens at every place but those that refuse; those that hang accept nobody.
    ///
    /// # Errors
    /// When an address cannot be bound.
    pub fn open(
        places: &[BackendPlace],
        scenario: &Scenario,
        stage: &Arc<Stage>,
        keys: &Arc<Keys>,
    ) -> anyhow::Result<Self> {
        let mut tasks = JoinSet::new();
        let mut hanging = Vec::new();
        for place in places.iter().filter(|place| !scenario.refusing.contains(&place.name)) {
            let at = || format!("{} at {}", place.name, place.address);
            if scenario.hanging.contains(&place.name) {
                // The kernel drops who wants to connect while the queue of this listener is full.
                let listener = listen(place.address, 0).with_context(at)?;
                let first = TcpStream::connect(place.address).with_context(at)?;
                hanging.push((listener, first));
                continue;
            }
            let listener = listen(place.address, 1024).with_context(at)?;
            tasks.spawn(serve(listener, place.clone(), Arc::clone(stage), Arc::clone(keys)));
        }
        Ok(Self { tasks, _hanging: hanging })
    }

    /// Closes the listeners and every connection.
    pub async fn close(mut self) {
        self.tasks.shutdown().await;
    }
}

fn listen(address: SocketAddr, backlog: u32) -> std::io::Result<TcpListener> {
    let socket = match address.is_ipv4() {
        true => TcpSocket::new_v4()?,
        false => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
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
