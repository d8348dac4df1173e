//! Reading the first bytes off a socket.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use lateen_engine::Inspect;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::{Detected, Verdict, classify};

/// What came of looking.
#[derive(Debug)]
pub struct Sniffed {
    /// What the bytes are. [`Detected::Nothing`] if none came in time; what is there when the time
    /// ran out amid a message, or when the client closed its side, is opaque.
    pub detected: Detected,
    /// Everything that was read.
    pub bytes: Bytes,
}

/// Room for a ClientHello with post-quantum key shares, or an ordinary request head.
const FIRST_READ: usize = 2048;

/// Reads from `stream` until its protocol is clear, the `patience` is spent (`None`: no limit) or
/// `limit` bytes have been read.
///
/// # Errors
/// When the connection breaks, or is closed without a byte.
pub async fn sniff(
    stream: &mut TcpStream,
    inspect: Inspect,
    patience: Option<Duration>,
    limit: usize,
) -> io::Result<Sniffed> {
    let deadline = patience.map(|patience| Instant::now() + patience);
    let mut bytes = BytesMut::new();
    loop {
        let read = match read_some(stream, &mut bytes, deadline, limit).await {
            Some(read) => read?,
            None if bytes.is_empty() => return Ok(sniffed(Detected::Nothing, bytes)),
            None => return Ok(sniffed(Detected::Opaque, bytes)),
        };
        if read == 0 && bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match classify(&bytes, inspect, limit) {
            Verdict::Decided(detected) => return Ok(sniffed(detected, bytes)),
            Verdict::Undecided if read == 0 => return Ok(sniffed(Detected::Opaque, bytes)),
            Verdict::Undecided => {}
        }
    }
}

fn sniffed(detected: Detected, bytes: BytesMut) -> Sniffed {
    Sniffed { detected, bytes: bytes.freeze() }
}

/// Reads once; `None` when the time is up.
async fn read_some(
    stream: &mut TcpStream,
    bytes: &mut BytesMut,
    deadline: Option<Instant>,
    limit: usize,
) -> Option<io::Result<usize>> {
    // Nothing is allocated for a client that has not said anything yet.
    let ready = async {
        stream.readable().await?;
        bytes.reserve(FIRST_READ.min(limit.saturating_sub(bytes.len())));
        stream.read_buf(bytes).await
    };
    match deadline {
        Some(deadline) => timeout_at(deadline, ready).await.ok(),
        None => Some(ready.await),
    }
}
