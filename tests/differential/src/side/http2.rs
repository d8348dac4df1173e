//! What both ends of HTTP/2 share.

use h2::RecvStream;
use http::HeaderMap;

use crate::observe::Headers;

/// Headers as a list.
pub fn list(headers: &HeaderMap) -> Headers {
    headers
        .iter()
        .map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect()
}

/// A body to its end: bytes, trailers, and the error that cut it off.
pub async fn read(mut stream: RecvStream) -> (Vec<u8>, Headers, Option<h2::Error>) {
    let mut bytes = Vec::new();
    while let Some(data) = stream.data().await {
        match data {
            Ok(data) => {
                // A window that is not given back only stalls what is compared anyway.
                let _ = stream.flow_control().release_capacity(data.len());
                bytes.extend_from_slice(&data);
            }
            Err(error) => return (bytes, Headers::new(), Some(error)),
        }
    }
    match stream.trailers().await {
        Ok(trailers) => (bytes, trailers.as_ref().map(list).unwrap_or_default(), None),
        Err(error) => (bytes, Headers::new(), Some(error)),
    }
}
