//! Sending what a case describes, and reading whether it was allowed.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::Context;
use rustls::{ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;
use serde_json::Value;

use super::application::OPAQUE;
use super::certificates::Authority;
use crate::case::{labels, port, text};

/// Longer than this nobody is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// A response with this status.
    Status(u16),
    /// The bytes as they were sent.
    Echo,
    /// The end of the connection.
    Closed,
}

impl Answer {
    /// Whether the application was reached.
    pub fn allowed(&self) -> bool {
        matches!(self, Self::Status(200) | Self::Echo)
    }
}

trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

/// Asks what a case asks.
pub fn ask(listener: SocketAddr, authority: &Authority, case: &Value) -> anyhow::Result<Answer> {
    let http = match text(case, "protocol") {
        "http" => true,
        "tcp" => false,
        other => anyhow::bail!("protocol {other:?}"),
    };
    let mut stream = connect(listener, authority, case, http)?;
    let sent = if http { request(case) } else { vec![OPAQUE; 64] };
    // A connection that is refused may be closed before everything is sent.
    let seen = match stream.write_all(&sent).and_then(|()| stream.flush()) {
        Ok(()) => read(&mut *stream, http, sent.len()),
        Err(_) => Vec::new(),
    };
    if seen.is_empty() {
        // A request is refused by an answer; its connection is not.
        anyhow::ensure!(!http, "the connection was closed without an answer");
        return Ok(Answer::Closed);
    }
    if !http {
        anyhow::ensure!(seen == sent, "other bytes came back: {seen:?}");
        return Ok(Answer::Echo);
    }
    let head = String::from_utf8_lossy(&seen);
    let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    let status = status.and_then(|status| status.parse().ok());
    let status: u16 = status.with_context(|| format!("no answer in HTTP: {head}"))?;
    anyhow::ensure!(matches!(status, 200 | 400 | 403), "status {status}: {head}");
    Ok(Answer::Status(status))
}

fn connect(
    listener: SocketAddr,
    authority: &Authority,
    case: &Value,
    http: bool,
) -> anyhow::Result<Box<dyn Stream>> {
    let mut tcp = TcpStream::connect(listener)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    let address = |key: &str| -> anyhow::Result<Option<IpAddr>> {
        case[key].as_str().map(|text| text.parse().with_context(|| text.to_owned())).transpose()
    };
    let source = address("sourceIP")?.context("a request without sourceIP")?;
    let destination = address("destIP")?.unwrap_or(source);
    let port = port(case, "port").context("a request without port")?;
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let proxied = format!("PROXY {family} {source} {destination} 40000 {port}\r\n");
    tcp.write_all(proxied.as_bytes())?;
    let Some(principal) = case["principal"].as_str() else { return Ok(Box::new(tcp)) };
    let alpn: &[&str] = if http { &["istio-http/1.1", "istio", "http/1.1"] } else { &["istio"] };
    let config = authority.client(&format!("spiffe://{principal}"), alpn)?;
    let name = match case["sni"].as_str() {
        Some(sni) => ServerName::try_from(sni.to_owned())?,
        None => ServerName::IpAddress(destination.into()),
    };
    let mut connection = ClientConnection::new(config, name)?;
    connection.complete_io(&mut tcp).context("the handshake")?;
    Ok(Box::new(StreamOwned::new(connection, tcp)))
}

fn request(case: &Value) -> Vec<u8> {
    let mut head = format!(
        "{} {} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n",
        text(case, "method"),
        text(case, "path"),
        text(case, "host"),
    );
    if let Some(remote) = case["remoteIP"].as_str() {
        head.push_str(&format!("x-forwarded-for: {remote}\r\n"));
    }
    for (name, value) in labels(case, "headers") {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// What comes back: of HTTP the head, else as many bytes as were sent. An error is an end, too.
fn read(stream: &mut dyn Stream, http: bool, length: usize) -> Vec<u8> {
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let complete = if http {
            seen.windows(4).any(|four| four == b"\r\n\r\n")
        } else {
            seen.len() >= length
        };
        if complete {
            return seen;
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return seen,
            Ok(read) => seen.extend_from_slice(&buffer[..read]),
        }
    }
}

/// Where the listeners of an Envoy are, by its admin page.
pub fn listeners(admin: SocketAddr) -> anyhow::Result<BTreeMap<String, SocketAddr>> {
    let mut stream = TcpStream::connect(admin)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(
        b"GET /listeners?format=json HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n",
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let start = answer.find('{').context("no JSON yet")?;
    let end = answer.rfind('}').context("no JSON yet")?;
    let page: Value = serde_json::from_str(&answer[start..=end])?;
    let statuses = page["listener_statuses"].as_array().context("no listeners yet")?;
    statuses
        .iter()
        .map(|status| {
            let socket = &status["local_address"]["socket_address"];
            let address: IpAddr = text(socket, "address").parse()?;
            let port =
                port(socket, "port_value").filter(|port| *port > 0).context("no port yet")?;
            Ok((text(status, "name").to_owned(), SocketAddr::new(address, port)))
        })
        .collect()
}
