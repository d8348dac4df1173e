//! Requests over HTTP/1.1.

use std::io;

use super::super::backend::stage::TAG;
use super::super::http1::{Framing, Reader, header, write};
use super::connect::{Connection, Failure};
use super::{Client, OnTag, Sent, end_of};
use crate::observe::Observed;
use crate::scenario::{End, Request};

pub async fn run(client: &Client<'_>, prefix: &str, on_tag: OnTag<'_>) -> Vec<Vec<Sent>> {
    let mut open: Option<(Connection, Reader)> = None;
    let mut all = Vec::new();
    for (index, request) in client.exchange.requests.iter().enumerate() {
        let mut times = Vec::new();
        for time in 0..request.times {
            let tag = format!("{prefix}.{index}.{time}");
            on_tag(&tag);
            let slot = &mut open;
            let work = async {
                let (connection, reader) = match slot {
                    Some(open) => open,
                    None => match client.connect().await {
                        Ok(connection) => slot.insert((connection, Reader::new())),
                        Err(failure) => return (failure.from(), Err(failure)),
                    },
                };
                let observed = exchange(client, connection, reader, request, &tag).await;
                (Some(connection.from), Ok(observed))
            };
            let sent = client.timed(&tag, work).await;
            let closes = sent.observed.header("connection").contains(&"close");
            if closes || sent.observed.end != End::Complete {
                open = None;
            }
            times.push(sent);
        }
        all.push(times);
    }
    all
}

async fn exchange(
    client: &Client<'_>,
    connection: &mut Connection,
    reader: &mut Reader,
    request: &Request,
    tag: &str,
) -> Observed {
    let mut observed = connection.observed();
    if let Err(error) = try_exchange(client, connection, reader, request, tag, &mut observed).await
    {
        observed.end = end_of(&error);
    }
    observed
}

async fn try_exchange(
    client: &Client<'_>,
    connection: &mut Connection,
    reader: &mut Reader,
    request: &Request,
    tag: &str,
    observed: &mut Observed,
) -> io::Result<()> {
    let stream = &mut connection.stream;
    let mut headers = Vec::new();
    let authority = client.authority(request.authority.as_ref());
    if !authority.is_empty() {
        headers.push(("host".to_owned(), authority));
    }
    headers.extend(request.headers.iter().filter_map(|line| as_written(line)));
    headers.push((TAG.to_owned(), tag.to_owned()));
    let trailers: Vec<_> = request.trailers.iter().filter_map(|line| header(line)).collect();
    let line = format!("{} {} HTTP/1.1", request.method, request.path);
    let body = request.body.as_ref().map(String::as_bytes);
    // A proxy may answer and close before it has read all of it.
    let written = write(stream, &line, &headers, body, &trailers).await;
    let head = loop {
        let Some(head) = reader.head(stream).await? else {
            written?;
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        if !head.line.contains(" 100 ") {
            break head;
        }
    };
    observed.status =
        head.line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
    let without = request.method == "HEAD" || matches!(observed.status, 101 | 204 | 304);
    let framing = if without { Framing::None } else { head.framing(Framing::ToTheEnd) };
    observed.headers = head.headers;
    let body = reader.body(stream, framing).await?;
    observed.body = String::from_utf8_lossy(&body.bytes).into_owned();
    observed.trailers = body.trailers;
    observed.end = if body.whole { End::Complete } else { End::Closed };
    Ok(())
}

/// A header as the scenario writes it: the name in its own case.
fn as_written(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    Some((name.to_owned(), value.strip_prefix(' ').unwrap_or(value).to_owned()))
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error, None)
    }
}
