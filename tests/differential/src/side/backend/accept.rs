//! From an accepted connection to its protocol, TLS taken off.

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;

use super::super::protocol::BackendPlace;
use super::super::stream::Stream;
use super::super::tls::Keys;
use super::stage::Stage;
use super::{http1, http2, raw};
use crate::observe::SeenRequest;
use crate::scenario::SeenTls;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// First byte of a TLS record with a handshake.
const HANDSHAKE: u8 = 22;

/// TLS around TLS around TLS is nothing that a mesh makes.
const MAX_LAYERS: usize = 2;

/// A connection at a backend.
pub struct Connection {
    pub place: Arc<BackendPlace>,
    pub stage: Arc<Stage>,
    keys: Arc<Keys>,
    tls: SeenTls,
    sni: String,
    peer: String,
}

/// What the first bytes are.
enum Kind {
    Tls,
    Http1,
    Http2,
    Other,
    /// Nothing, and then the end: Envoy dials before it knows whether its client may pass.
    Silence,
}

impl Connection {
    pub fn new(place: Arc<BackendPlace>, stage: Arc<Stage>, keys: Arc<Keys>) -> Self {
        let (sni, peer) = (String::new(), String::new());
        Self { place, stage, keys, tls: SeenTls::None, sni, peer }
    }

    /// What is known of whatever arrives over this connection.
    pub fn seen(&self) -> SeenRequest {
        SeenRequest {
            backend: self.place.name.clone(),
            port: self.place.port,
            tls: self.tls,
            sni: self.sni.clone(),
            peer: self.peer.clone(),
            http: None,
            method: String::new(),
            path: String::new(),
            authority: String::new(),
            headers: Vec::new(),
            body: String::new(),
            trailers: Vec::new(),
        }
    }

    /// Serves it to its end.
    pub async fn serve(mut self, tcp: TcpStream) -> io::Result<()> {
        let mut stream = Stream::new(tcp)?;
        for layer in 0..=MAX_LAYERS {
            // A sidecar is spoken to before its application speaks.
            let speaks = layer > 0 || self.place.identity.is_none();
            if speaks && self.stage.peek(&self.place.name).first.is_some() {
                return raw::serve(&self, stream).await;
            }
            match kind(&mut stream).await? {
                Kind::Tls => stream = self.take_off_tls(stream).await?,
                Kind::Http1 => return http1::serve(&self, stream).await,
                Kind::Http2 => return http2::serve(&self, stream).await,
                Kind::Other => return raw::serve(&self, stream).await,
                Kind::Silence => return Ok(()),
            }
        }
        Ok(())
    }

    async fn take_off_tls(&mut self, stream: Stream) -> io::Result<Stream> {
        let accepted = self.keys.accept(stream, self.place.identity.as_deref()).await?;
        // Of two layers the outer one says who the mesh thinks it is.
        if self.tls == SeenTls::None {
            self.tls = if accepted.is_mesh { SeenTls::Mesh } else { SeenTls::Tls };
            self.sni = accepted.sni;
            self.peer = accepted.peer;
        }
        Ok(accepted.stream)
    }
}

async fn kind(stream: &mut Stream) -> io::Result<Kind> {
    let mut wanted = 1;
    loop {
        let first = stream.peek(wanted).await?;
        if first.is_empty() {
            return Ok(Kind::Silence);
        }
        if first.first() == Some(&HANDSHAKE) {
            return Ok(Kind::Tls);
        }
        if first.starts_with(PREFACE) {
            return Ok(Kind::Http2);
        }
        let ended = first.len() < wanted;
        if !ended && PREFACE.starts_with(first) {
            wanted = first.len() + 1;
            continue;
        }
        let line = first.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let is_http = line.len() < first.len()
            && String::from_utf8_lossy(line)
                .trim_end()
                .rsplit(' ')
                .next()
                .is_some_and(|version| version == "HTTP/1.1" || version == "HTTP/1.0");
        return Ok(if is_http { Kind::Http1 } else { Kind::Other });
    }
}
