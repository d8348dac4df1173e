//! Who speaks first, when the client was silent.

use std::io;

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::connection::ClientIo;

/// Which side said something first.
#[derive(Debug)]
pub enum First {
    /// The client has, or its side is at its end: its bytes are still in the socket.
    Client,
    /// The server has: what it said is in the buffer that was given.
    Server,
    /// The server closed without a word.
    ServerClosed,
}

/// Waits for either side. Of the client nothing is read; what the server says is appended to
/// `said`. Reads through TLS, so that its own messages do not count as speaking.
///
/// # Errors
/// When either connection breaks.
pub async fn first_to_speak(
    client: &TcpStream,
    server: &mut ClientIo,
    said: &mut BytesMut,
) -> io::Result<First> {
    said.reserve(4096);
    tokio::select! {
        biased;
        ready = client.readable() => ready.map(|()| First::Client),
        read = server.read_buf(said) => {
            read.map(|count| if count == 0 { First::ServerClosed } else { First::Server })
        }
    }
}
