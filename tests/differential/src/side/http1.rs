//! HTTP/1.1 by hand: what is sent is exactly what a scenario says, and what arrives is read without
//! taking anything amiss.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::stream::Stream;
use crate::observe::Headers;

/// No message has a larger head.
const MAX_HEAD: usize = 256 * 1024;

/// Reads messages from a stream, one after another.
pub struct Reader {
    buffer: Vec<u8>,
}

/// A head: its first line and its headers.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// The request line or the status line.
    pub line: String,
    /// The headers, names in lower case.
    pub headers: Headers,
}

/// A body and what came behind it.
#[derive(Debug, Default)]
pub struct Body {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The trailers.
    pub trailers: Headers,
    /// Whether it came to its end as its framing says.
    pub whole: bool,
}

/// How long a message's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(usize),
    /// In chunks.
    Chunked,
    /// To the end of the connection.
    ToTheEnd,
}

impl Head {
    /// The value of a header.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The framing that the headers declare; `without` where they declare none.
    pub fn framing(&self, without: Framing) -> Framing {
        if self.get("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
            return Framing::Chunked;
        }
        match self.get("content-length").and_then(|value| value.parse().ok()) {
            Some(length) => Framing::Length(length),
            None => without,
        }
    }
}

impl Reader {
    /// A reader that has nothing yet.
    pub fn new() -> Self {
        Self { buffer: Vec::new() }
    }

    async fn more(&mut self, stream: &mut Stream) -> io::Result<bool> {
        Ok(stream.read_buf(&mut self.buffer).await? > 0)
    }

    /// The next head; `None` when the stream ended before the first byte of one.
    pub async fn head(&mut self, stream: &mut Stream) -> io::Result<Option<Head>> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at;
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(io::Error::other("the head of a message does not end"));
            }
            if !self.more(stream).await? {
                return match self.buffer.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        };
        let text = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.drain(..end + 4);
        let mut lines = text.split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        Ok(Some(Head { line, headers: lines.filter_map(header).collect() }))
    }

    /// The body behind a head. An end before its end is no error: `whole` tells.
    pub async fn body(&mut self, stream: &mut Stream, framing: Framing) -> io::Result<Body> {
        let mut body = Body::default();
        match framing {
            Framing::None => body.whole = true,
            Framing::Length(length) => {
                while self.buffer.len() < length {
                    if !self.more(stream).await? {
                        body.bytes = std::mem::take(&mut self.buffer);
                        return Ok(body);
                    }
                }
                body.bytes = self.buffer.drain(..length).collect();
                body.whole = true;
            }
            Framing::Chunked => self.chunks(stream, &mut body).await?,
            Framing::ToTheEnd => {
                while self.more(stream).await? {}
                body.bytes = std::mem::take(&mut self.buffer);
                body.whole = true;
            }
        }
        Ok(body)
    }

    async fn chunks(&mut self, stream: &mut Stream, body: &mut Body) -> io::Result<()> {
        loop {
            let Some(line) = self.line(stream).await? else { return Ok(()) };
            let digits = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(digits, 16)
                .map_err(|_| io::Error::other(format!("`{line}` is no size of a chunk")))?;
            if size == 0 {
                while let Some(line) = self.line(stream).await? {
                    if line.is_empty() {
                        body.whole = true;
                        break;
                    }
                    body.trailers.extend(header(&line));
                }
                return Ok(());
            }
            while self.buffer.len() < size + 2 {
                if !self.more(stream).await? {
                    body.bytes.append(&mut self.buffer);
                    return Ok(());
                }
            }
            body.bytes.extend(self.buffer.drain(..size));
            self.buffer.drain(..2);
        }
    }

    async fn line(&mut self, stream: &mut Stream) -> io::Result<Option<String>> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..at]).into_owned();
                self.buffer.drain(..at + 2);
                return Ok(Some(line));
            }
            if !self.more(stream).await? {
                return Ok(None);
            }
        }
    }
}

/// A message as text: with a body in chunks when there are trailers, else with its length.
pub async fn write(
    stream: &mut Stream,
    line: &str,
    headers: &[(String, String)],
    body: Option<&[u8]>,
    trailers: &[(String, String)],
) -> io::Result<()> {
    let mut text = format!("{line}\r\n").into_bytes();
    let put = |text: &mut Vec<u8>, headers: &[(String, String)]| {
        for (name, value) in headers {
            text.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
    };
    put(&mut text, headers);
    let names: Vec<&str> = trailers.iter().map(|(name, _)| name.as_str()).collect();
    if !names.is_empty() {
        let declared = format!("transfer-encoding: chunked\r\ntrailer: {}\r\n", names.join(", "));
        text.extend_from_slice(declared.as_bytes());
    } else if let Some(body) = body {
        text.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    text.extend_from_slice(b"\r\n");
    let body = body.unwrap_or_default();
    if names.is_empty() {
        text.extend_from_slice(body);
    } else {
        if !body.is_empty() {
            text.extend_from_slice(format!("{:x}\r\n", body.len()).as_bytes());
            text.extend_from_slice(body);
            text.extend_from_slice(b"\r\n");
        }
        text.extend_from_slice(b"0\r\n");
        put(&mut text, trailers);
        text.extend_from_slice(b"\r\n");
    }
    stream.write_all(&text).await?;
    stream.flush().await
}

/// `name: value`, the name in lower case.
pub fn header(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    Some((name.trim().to_ascii_lowercase(), value.trim().to_owned()))
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
