//! Requests over HTTP/2.

use std::io;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};

use super::super::http1::header;
use super::super::http2::{list, read};
use super::super::stream::Stream;
use super::accept::Connection;
use crate::observe::SeenRequest;
use crate::scenario::{Behaviour, HttpVersion, Instead};

pub async fn serve(connection: &Connection, stream: Stream) -> io::Result<()> {
    let mut requests = h2::server::handshake(stream).await.map_err(io::Error::other)?;
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = requests.accept() => {
                let Some(accepted) = accepted else { break };
                let (request, respond) = accepted.map_err(io::Error::other)?;
                let seen = seen(connection, &request);
                let counted = !seen.is_mirrored();
                let ticket = connection.stage.record(seen);
                let behaviour = connection.stage.next(&connection.place.name, counted);
                if behaviour.instead == Some(Instead::Close) {
                    return Ok(());
                }
                let head = request.method() == http::Method::HEAD;
                let (stage, name) = (connection.stage.clone(), connection.place.name.clone());
                tasks.spawn(async move {
                    let (bytes, trailers, _) = read(request.into_body()).await;
                    stage.amend(&ticket, |seen: &mut SeenRequest| {
                        seen.body = String::from_utf8_lossy(&bytes).into_owned();
                        seen.trailers = trailers;
                    });
                    answer(respond, &name, &behaviour, head).await
                });
            }
            Some(_) = tasks.join_next() => {}
        }
    }
    while tasks.join_next().await.is_some() {}
    Ok(())
}

fn seen(connection: &Connection, request: &Request<RecvStream>) -> SeenRequest {
    let uri = request.uri();
    SeenRequest {
        http: Some(HttpVersion::Http2),
        method: request.method().to_string(),
        path: uri.path_and_query().map_or(String::new(), ToString::to_string),
        authority: uri.authority().map_or(String::new(), ToString::to_string),
        headers: list(request.headers()),
        ..connection.seen()
    }
}

async fn answer(
    mut respond: SendResponse<Bytes>,
    name: &str,
    behaviour: &Behaviour,
    head: bool,
) -> Result<(), h2::Error> {
    if let Some(delay) = behaviour.delay {
        tokio::time::sleep(delay.0).await;
    }
    match behaviour.instead {
        Some(Instead::Reset | Instead::Close) => {
            respond.send_reset(Reason::INTERNAL_ERROR);
            return Ok(());
        }
        Some(Instead::RefuseStream) => {
            respond.send_reset(Reason::REFUSED_STREAM);
            return Ok(());
        }
        Some(Instead::ResetInBody) | None => {}
    }
    let status = behaviour.status.unwrap_or(200);
    let mut response = Response::new(());
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    *response.headers_mut() = map(&behaviour.headers);
    let body = Bytes::from(behaviour.body.clone().unwrap_or_else(|| name.to_owned()));
    let without_body = head || status == 204 || status == 304;
    if !without_body && behaviour.trailers.is_empty() {
        response.headers_mut().insert("content-length", HeaderValue::from(body.len()));
    }
    if without_body {
        respond.send_response(response, true)?;
        return Ok(());
    }
    let mut stream = respond.send_response(response, false)?;
    if behaviour.instead == Some(Instead::ResetInBody) {
        stream.send_data(body.slice(..body.len() / 2), false)?;
        // The data has to leave before the reset overtakes it.
        tokio::task::yield_now().await;
        stream.send_reset(Reason::INTERNAL_ERROR);
    } else if behaviour.trailers.is_empty() {
        stream.send_data(body, true)?;
    } else {
        stream.send_data(body, false)?;
        stream.send_trailers(map(&behaviour.trailers))?;
    }
    Ok(())
}

fn map(lines: &[String]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines.iter().filter_map(|line| header(line)) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(&value)) {
            headers.append(name, value);
        }
    }
    headers
}
