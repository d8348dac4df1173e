//! What stands behind Envoy: whatever reaches it was allowed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// The first byte of what is no HTTP; it is sent back as it came.
pub const OPAQUE: u8 = 0;

/// Answers every request with 200, and sends opaque bytes back.
pub struct Application {
    address: SocketAddr,
}

impl Application {
    /// Listens until the process ends.
    pub fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    // A client that goes away is none of the application's business.
                    let _ = serve(stream);
                });
            }
        });
        Ok(Self { address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        seen.extend_from_slice(&buffer[..read]);
        if seen[0] == OPAQUE {
            return stream.write_all(&seen);
        }
        if seen.windows(4).any(|four| four == b"\r\n\r\n") {
            return stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    }
}
