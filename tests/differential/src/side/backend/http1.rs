//! Requests over HTTP/1.1.

use std::io;

use tokio::io::AsyncWriteExt as _;

use super::super::http1::{Framing, Reader, header, write};
use super::super::stream::Stream;
use super::accept::Connection;
use crate::observe::{Headers, SeenRequest};
use crate::scenario::{Behaviour, HttpVersion, Instead};

pub async fn serve(connection: &Connection, mut stream: Stream) -> io::Result<()> {
    let mut reader = Reader::new();
    while let Some(head) = reader.head(&mut stream).await? {
        let mut parts = head.line.splitn(2, ' ');
        let method = parts.next().unwrap_or_default().to_owned();
        let path = parts.next().unwrap_or_default().rsplit_once(' ').map_or("", |(path, _)| path);
        let framing = head.framing(Framing::None);
        if head.get("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let seen = SeenRequest {
            http: Some(HttpVersion::Http1),
            method: method.clone(),
            path: path.to_owned(),
            authority: head.get("host").unwrap_or_default().to_owned(),
            headers: head.headers.iter().filter(|(name, _)| name != "host").cloned().collect(),
            ..connection.seen()
        };
        let counted = !seen.is_mirrored();
        let ticket = connection.stage.record(seen);
        let behaviour = connection.stage.next(&connection.place.name, counted);
        let body = reader.body(&mut stream, framing).await?;
        connection.stage.amend(&ticket, |seen| {
            seen.body = String::from_utf8_lossy(&body.bytes).into_owned();
            seen.trailers = body.trailers;
        });
        if let Some(delay) = behaviour.delay {
            tokio::time::sleep(delay.0).await;
        }
        match behaviour.instead {
            Some(Instead::Close) => return Ok(()),
            Some(Instead::Reset | Instead::RefuseStream) => {
                stream.reset();
                return Ok(());
            }
            Some(Instead::ResetInBody) => {
                half_an_answer(&mut stream, &connection.place.name, &behaviour).await?;
                stream.reset();
                return Ok(());
            }
            None => answer(&mut stream, &connection.place.name, &behaviour, &method).await?,
        }
    }
    Ok(())
}

async fn answer(
    stream: &mut Stream,
    name: &str,
    behaviour: &Behaviour,
    method: &str,
) -> io::Result<()> {
    let status = behaviour.status.unwrap_or(200);
    let line = status_line(status);
    let body = behaviour.body.as_deref().unwrap_or(name).as_bytes();
    let mut headers = headers(&behaviour.headers);
    // A 204 has no length, whatever was asked (RFC 9110, section 8.6).
    if method == "HEAD" && status != 204 {
        headers.push(("content-length".to_owned(), body.len().to_string()));
        return write(stream, &line, &headers, None, &[]).await;
    }
    let body = (status != 204 && status != 304).then_some(body);
    write(stream, &line, &headers, body, &self::headers(&behaviour.trailers)).await
}

async fn half_an_answer(stream: &mut Stream, name: &str, behaviour: &Behaviour) -> io::Result<()> {
    let line = status_line(behaviour.status.unwrap_or(200));
    let body = behaviour.body.as_deref().unwrap_or(name);
    let mut headers = headers(&behaviour.headers);
    headers.push(("content-length".to_owned(), body.len().to_string()));
    write(stream, &line, &headers, None, &[]).await?;
    stream.write_all(&body.as_bytes()[..body.len() / 2]).await?;
    stream.flush().await
}

fn status_line(status: u16) -> String {
    let reason = http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Unknown");
    format!("HTTP/1.1 {status} {reason}")
}

fn headers(lines: &[String]) -> Headers {
    lines.iter().filter_map(|line| header(line)).collect()
}
