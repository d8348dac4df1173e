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

/// How long to wait for bytes.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For the first ones.
    pub first: Duration,
    /// From the first ones until the protocol is clear.
    pub rest: Duration,
}

/// Reads from `stream` until its protocol is clear, the patience is spent or `limit` bytes have been
/// read.
///
/// # Errors
/// When the connection breaks, or is closed without a byte.
pub async fn sniff(
    stream: &mut TcpStream,
    inspect: Inspect,
    patience: Patience,
    limit: usize,
) -> io::Result<Sniffed> {
    let mut deadline = Instant::now() + patience.first;
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
            Verdict::Undecided if bytes.len() == read => deadline = Instant::now() + patience.rest,
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
    deadline: Instant,
    limit: usize,
) -> Option<io::Result<usize>> {
    // Nothing is allocated for a client that has not said anything yet.
    let ready = async {
        stream.readable().await?;
        bytes.reserve(FIRST_READ.min(limit.saturating_sub(bytes.len())));
        stream.read_buf(bytes).await
    };
    timeout_at(deadline, ready).await.ok()
}
