//! Requests over HTTP/2.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderName, HeaderValue};
use tokio::task::JoinHandle;

use super::super::backend::stage::TAG;
use super::super::http1::header;
use super::super::http2::{list, read};
use super::connect::Failure;
use super::{Client, OnTag, Sent, end_of};
use crate::observe::{Observed, UNSENT};
use crate::scenario::{End, Request};

/// A connection with its driver.
struct Open {
    send: SendRequest<Bytes>,
    from: SocketAddr,
    template: Observed,
    driver: JoinHandle<()>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

pub async fn run(client: &Client<'_>, prefix: &str, on_tag: OnTag<'_>) -> Vec<Vec<Sent>> {
    let mut open: Option<Open> = None;
    let mut all = Vec::new();
    for (index, request) in client.exchange.requests.iter().enumerate() {
        let mut times = Vec::new();
        for time in 0..request.times {
            let tag = format!("{prefix}.{index}.{time}");
            on_tag(&tag);
            let slot = &mut open;
            let work = async {
                let open = match slot {
                    Some(open) => open,
                    None => match connect(client).await {
                        Ok(open) => slot.insert(open),
                        Err(failure) => return (failure.from(), Err(failure)),
                    },
                };
                let observed = exchange(client, open, request, &tag).await;
                (Some(open.from), Ok(observed))
            };
            let sent = client.timed(&tag, work).await;
            if !matches!(sent.observed.end, End::Complete | End::Reset) {
                open = None;
            }
            times.push(sent);
        }
        all.push(times);
    }
    all
}

async fn connect(client: &Client<'_>) -> Result<Open, Failure> {
    let connection = client.connect().await?;
    let (from, template) = (connection.from, connection.observed());
    let (send, driver) = h2::client::handshake(connection.stream)
        .await
        .map_err(|error| Failure::Io(std::io::Error::other(error), Some(from)))?;
    let driver = tokio::spawn(async move {
        // How it ends is seen by the requests.
        let _ = driver.await;
    });
    Ok(Open { send, from, template, driver })
}

async fn exchange(client: &Client<'_>, open: &mut Open, request: &Request, tag: &str) -> Observed {
    let mut observed = open.template.clone();
    match try_exchange(client, open, request, tag, &mut observed).await {
        Ok(()) => {}
        Err(Refused::Stream(error)) => observed.end = end(&error),
        // Both sides are told alike, and a scenario's author by the body.
        Err(Refused::Unsendable(why)) => observed.body = format!("{UNSENT}{why}"),
    }
    observed
}

/// Why a request came to nothing.
enum Refused {
    Stream(h2::Error),
    Unsendable(http::Error),
}

impl From<h2::Error> for Refused {
    fn from(error: h2::Error) -> Self {
        Self::Stream(error)
    }
}

impl From<http::Error> for Refused {
    fn from(error: http::Error) -> Self {
        Self::Unsendable(error)
    }
}

async fn try_exchange(
    client: &Client<'_>,
    open: &mut Open,
    request: &Request,
    tag: &str,
    observed: &mut Observed,
) -> Result<(), Refused> {
    let scheme = if client.exchange.tls.is_some() { "https" } else { "http" };
    let uri = http::Uri::builder()
        .scheme(scheme)
        .authority(client.authority(request.authority.as_ref()))
        .path_and_query(request.path.as_str())
        .build()?;
    let mut message = http::Request::builder().method(request.method.as_str()).uri(uri).body(())?;
    for (name, value) in request.headers.iter().filter_map(|line| header(line)) {
        let name: HeaderName = name.parse().map_err(http::Error::from)?;
        let value = HeaderValue::from_str(&value).map_err(http::Error::from)?;
        message.headers_mut().append(name, value);
    }
    let tag = HeaderValue::from_str(tag).map_err(http::Error::from)?;
    message.headers_mut().insert(TAG, tag);
    let mut send = open.send.clone().ready().await?;
    let trailers = !request.trailers.is_empty();
    let ends = request.body.is_none() && !trailers;
    let (response, mut stream) = send.send_request(message, ends)?;
    if let Some(body) = &request.body {
        stream.send_data(Bytes::from(body.clone()), !trailers)?;
    }
    if trailers {
        let mut map = http::HeaderMap::new();
        for (name, value) in request.trailers.iter().filter_map(|line| header(line)) {
            let name: HeaderName = name.parse().map_err(http::Error::from)?;
            map.append(name, HeaderValue::from_str(&value).map_err(http::Error::from)?);
        }
        stream.send_trailers(map)?;
    }
    let response = response.await?;
    observed.status = response.status().as_u16();
    observed.headers = list(response.headers());
    let (bytes, trailers, error) = read(response.into_body()).await;
    observed.body = String::from_utf8_lossy(&bytes).into_owned();
    observed.trailers = trailers;
    match error {
        None => observed.end = End::Complete,
        Some(error) => return Err(error.into()),
    }
    Ok(())
}

/// How an error shows to the client.
fn end(error: &h2::Error) -> End {
    if error.is_reset() && error.is_remote() {
        return End::Reset;
    }
    error.get_io().map_or(End::Closed, end_of)
}
