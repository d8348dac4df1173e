//! The ClientHello of TLS: the server name and the protocols that it offers.
//!
//! Read from RFC 8446 (4.1.2, 5.1), RFC 6066 (3) and RFC 7301 (3.1). Everything else in the message
//! is skipped; the handshake proper is the TLS library's business.

use std::borrow::Cow;
use std::sync::Arc;

/// What a client said before its connection was decided.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientHello {
    /// Server name, lower case, without a trailing dot.
    pub sni: Option<Arc<str>>,
    /// Protocols offered (ALPN), in the client's order.
    pub alpn: Vec<Box<[u8]>>,
}

/// How far a parse came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Parsed {
    /// A whole message.
    Hello(ClientHello),
    /// The beginning of one.
    Incomplete,
    /// None, whatever follows.
    Malformed,
}

const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
/// RFC 8446, 5.1; a plaintext record is never longer.
const RECORD_LIMIT: usize = 1 << 14;

/// Whether the bytes, as far as they go, are those of a handshake record of TLS.
pub(super) fn starts_record(bytes: &[u8]) -> bool {
    bytes.first() == Some(&HANDSHAKE) && bytes.get(1).is_none_or(|&major| major == 3)
}

/// Parses the records of a ClientHello, however they are fragmented.
pub(super) fn parse(bytes: &[u8]) -> Parsed {
    match handshake(bytes) {
        Handshake::Message(body) => {
            hello(&mut Reader(&body)).map_or(Parsed::Malformed, Parsed::Hello)
        }
        Handshake::Incomplete => Parsed::Incomplete,
        Handshake::Malformed => Parsed::Malformed,
    }
}

enum Handshake<'a> {
    Message(Cow<'a, [u8]>),
    Incomplete,
    Malformed,
}

/// The body of the first handshake message, put together from its records. Copies only where there
/// is more than one.
fn handshake(mut bytes: &[u8]) -> Handshake<'_> {
    let mut gathered: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    loop {
        let Some((header, rest)) = bytes.split_first_chunk::<5>() else {
            let plausible = bytes.is_empty() || starts_record(bytes);
            return if plausible { Handshake::Incomplete } else { Handshake::Malformed };
        };
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if !starts_record(header) || length == 0 || length > RECORD_LIMIT {
            return Handshake::Malformed;
        }
        let here = &rest[..length.min(rest.len())];
        if gathered.is_empty() {
            gathered = Cow::Borrowed(here);
        } else {
            gathered.to_mut().extend_from_slice(here);
        }
        match message(gathered) {
            Ok(body) => return Handshake::Message(body),
            Err(Short::Wrong) => return Handshake::Malformed,
            Err(Short::More(_)) if rest.len() < length => return Handshake::Incomplete,
            Err(Short::More(so_far)) => gathered = so_far,
        }
        bytes = &rest[length..];
    }
}

enum Short<'a> {
    Wrong,
    More(Cow<'a, [u8]>),
}

fn message(gathered: Cow<'_, [u8]>) -> Result<Cow<'_, [u8]>, Short<'_>> {
    let Some(header) = gathered.first_chunk::<4>() else {
        let wrong = gathered.first().is_some_and(|&kind| kind != CLIENT_HELLO);
        return Err(if wrong { Short::Wrong } else { Short::More(gathered) });
    };
    if header[0] != CLIENT_HELLO {
        return Err(Short::Wrong);
    }
    let length =
        usize::from(header[1]) << 16 | usize::from(header[2]) << 8 | usize::from(header[3]);
    let end = 4 + length;
    if gathered.len() < end {
        return Err(Short::More(gathered));
    }
    Ok(match gathered {
        Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[4..end]),
        Cow::Owned(bytes) => Cow::Owned(bytes[4..end].to_vec()),
    })
}

/// Takes bytes off the front; `None` when there are not enough.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(count)?;
        self.0 = tail;
        Some(head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn short(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn vector8(&mut self) -> Option<Reader<'a>> {
        let length = self.byte()?;
        self.take(usize::from(length)).map(Reader)
    }

    fn vector16(&mut self) -> Option<Reader<'a>> {
        let length = self.short()?;
        self.take(usize::from(length)).map(Reader)
    }
}

fn hello(reader: &mut Reader<'_>) -> Option<ClientHello> {
    reader.take(2 + 32)?; // legacy_version, random
    reader.vector8()?; // legacy_session_id
    reader.vector16()?; // cipher_suites
    reader.vector8()?; // legacy_compression_methods
    let mut hello = ClientHello::default();
    if reader.0.is_empty() {
        return Some(hello);
    }
    let mut extensions = reader.vector16()?;
    while !extensions.0.is_empty() {
        let kind = extensions.short()?;
        let body = extensions.vector16()?;
        match kind {
            SERVER_NAME => hello.sni = server_name(body)?,
            ALPN => hello.alpn = protocols(body)?,
            _ => {}
        }
    }
    Some(hello)
}

/// `Some(None)`: a list without a host name.
#[allow(clippy::option_option)]
fn server_name(mut body: Reader<'_>) -> Option<Option<Arc<str>>> {
    let mut names = body.vector16()?;
    while !names.0.is_empty() {
        let kind = names.byte()?;
        let name = names.vector16()?;
        if kind == 0 {
            let name = std::str::from_utf8(name.0).ok()?.trim_end_matches('.');
            let visible = name.bytes().all(|byte| byte.is_ascii_graphic());
            return (visible && !name.is_empty()).then(|| Some(name.to_ascii_lowercase().into()));
        }
    }
    Some(None)
}

fn protocols(mut body: Reader<'_>) -> Option<Vec<Box<[u8]>>> {
    let mut list = body.vector16()?;
    let mut protocols = Vec::new();
    while !list.0.is_empty() {
        let name = list.vector8()?;
        if name.0.is_empty() {
            return None;
        }
        protocols.push(name.0.into());
    }
    Some(protocols)
}
