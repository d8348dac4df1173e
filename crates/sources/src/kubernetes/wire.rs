//! Lists and watches as the API server speaks them (Kubernetes' API concepts: "Retrieving large results
//! sets in chunks", "Efficient detection of changes").

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use http::{Request, StatusCode};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use tokio::time::timeout;

use super::prune::Keep;
use super::resource::{Resource, encoded};

/// Why the API server did not give what was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// It does not know any more what changed since.
    #[error("the API server does not know any more what changed since (410)")]
    Gone,
    /// It refused.
    #[error("the API server refuses ({status}): {message}")]
    Refused { status: u16, message: String },
    /// It did not answer, or stopped answering.
    #[error("the API server did not answer within {0:?}")]
    Silent(Duration),
    /// The connection failed.
    #[error("the API server cannot be reached: {0}")]
    Unreachable(String),
    /// What it said is not understood.
    #[error("the API server's answer is not understood: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// A part of a list.
#[derive(Debug)]
pub(super) struct Page {
    /// The objects.
    pub items: Vec<Value>,
    /// The version of the list, from which it can be watched.
    pub version: String,
    /// Where the next part begins, if there is one.
    pub next: Option<String>,
}

/// Something that a watch says.
#[derive(Debug)]
pub(super) enum Event {
    /// An object is new or changed.
    Applied(Value),
    /// An object is gone, or is not chosen any more.
    Deleted(Value),
    /// Nothing happened up to this version.
    Bookmark(Value),
}

/// Asks for a part of a list. It is the state at the time of the first part: the server reads it from its
/// store, so that it is never older than what was seen before.
pub(super) async fn page(
    client: &Client,
    resource: &Resource,
    limit: usize,
    from: Option<&str>,
    patience: Duration,
) -> Result<Page, Failure> {
    let mut query = format!("limit={limit}");
    if let Some(token) = from {
        query.push_str(&format!("&continue={}", encoded(token)));
    }
    let answer = async {
        let body = get(client, resource, &query).await?;
        body.collect().await.map_err(unreachable)
    };
    let bytes = timeout(patience, answer).await.map_err(|_| Failure::Silent(patience))??;
    let bytes = bytes.to_bytes();
    let page = Listed(resource.keep());
    Ok(page.deserialize(&mut serde_json::Deserializer::from_slice(&bytes))?)
}

/// A watch that is open.
pub(super) struct Watch {
    body: Body,
    keep: Keep,
    /// What was received; the line that is read next begins at `at`.
    buffer: Vec<u8>,
    at: usize,
    /// Up to where no line ends.
    searched: usize,
}

impl Watch {
    /// Watches from a version on, for `length`.
    pub async fn open(
        client: &Client,
        resource: &Resource,
        version: &str,
        length: Duration,
        patience: Duration,
    ) -> Result<Self, Failure> {
        let query = format!(
            "watch=true&allowWatchBookmarks=true&timeoutSeconds={}&resourceVersion={}",
            length.as_secs(),
            encoded(version),
        );
        let opened = timeout(patience, get(client, resource, &query)).await;
        let body = opened.map_err(|_| Failure::Silent(patience))??;
        Ok(Self { body, keep: resource.keep(), buffer: Vec::new(), at: 0, searched: 0 })
    }

    /// The next event; `None` when the server ended the watch, as it does when the time is up.
    pub async fn next(&mut self, idle: Duration) -> Result<Option<Event>, Failure> {
        loop {
            if let Some(event) = self.buffered()? {
                return Ok(Some(event));
            }
            let frame = timeout(idle, self.body.frame()).await;
            match frame.map_err(|_| Failure::Silent(idle))? {
                None => return Ok(None),
                Some(Err(error)) => return Err(unreachable(error)),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.drain(..self.at);
                        self.searched -= self.at;
                        self.at = 0;
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }

    /// The event of a whole line that is there already.
    fn buffered(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            let end = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
            let Some(end) = end.map(|end| self.searched + end) else {
                self.searched = self.buffer.len();
                return Ok(None);
            };
            let line = &self.buffer[self.at..end];
            let event = if line.is_empty() { None } else { read_event(line, self.keep)? };
            (self.at, self.searched) = (end + 1, end + 1);
            if self.at == self.buffer.len() {
                // A burst leaves no large buffer behind.
                (self.buffer, self.at, self.searched) = (Vec::new(), 0, 0);
            }
            if event.is_some() {
                return Ok(event);
            }
        }
    }
}

/// Reads one event; `None`: one of a type that there is not yet.
fn read_event(line: &[u8], keep: Keep) -> Result<Option<Event>, Failure> {
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(borrow)]
        r#type: Cow<'a, str>,
    }
    #[derive(Deserialize)]
    struct Refusal {
        object: Status,
    }
    let head: Head<'_> = serde_json::from_slice(line)?;
    let event = match &*head.r#type {
        "ADDED" | "MODIFIED" => Event::Applied,
        "DELETED" => Event::Deleted,
        "BOOKMARK" => Event::Bookmark,
        "ERROR" => {
            let refusal: Refusal = serde_json::from_slice(line)?;
            return Err(refusal.object.into());
        }
        _ => return Ok(None),
    };
    let object = Happened(keep).deserialize(&mut serde_json::Deserializer::from_slice(line))?;
    Ok(Some(event(object)))
}

/// Kubernetes' answer when it refuses.
#[derive(Debug, Default, Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    message: String,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        match status.code {
            410 => Self::Gone,
            code => Self::Refused { status: code, message: status.message },
        }
    }
}

/// Asks for a resource, and gives the body of an answer that is no refusal.
async fn get(client: &Client, resource: &Resource, query: &str) -> Result<Body, Failure> {
    let mut uri = format!("{}?{query}", resource.path);
    if let Some(select) = &resource.select {
        uri.push('&');
        uri.push_str(select);
    }
    let request = Request::get(uri)
        .header("accept", "application/json")
        .body(Body::empty())
        .map_err(|error| Failure::Unreachable(error.to_string()))?;
    let response = client.send(request).await.map_err(unreachable)?;
    let status = response.status();
    let body = response.into_body();
    if status.is_success() {
        return Ok(body);
    }
    if status == StatusCode::GONE {
        return Err(Failure::Gone);
    }
    let bytes = body.collect().await.map_err(unreachable)?.to_bytes();
    let said: Status = serde_json::from_slice(&bytes).unwrap_or_default();
    Err(Failure::Refused { status: status.as_u16(), message: said.message })
}

fn unreachable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    let error = error.into();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        source = inner.source();
    }
    Failure::Unreachable(text)
}

/// Reads a list.
struct Listed(Keep);

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    next: String,
}

impl<'de> DeserializeSeed<'de> for Listed {
    type Value = Page;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Page, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Listed {
    type Value = Page;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Page, A::Error> {
        let (mut meta, mut items) = (ListMeta::default(), Vec::new());
        while let Some(key) = members.next_key::<Cow<'_, str>>()? {
            match &*key {
                "metadata" => meta = members.next_value()?,
                "items" => items = members.next_value_seed(Items(self.0))?,
                _ => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        let next = Some(meta.next).filter(|next| !next.is_empty());
        Ok(Page { items, version: meta.resource_version, next })
    }
}

/// Reads the items of a list.
struct Items(Keep);

impl<'de> DeserializeSeed<'de> for Items {
    type Value = Vec<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Value>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Items {
    type Value = Vec<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("objects")
    }

    fn visit_unit<E>(self) -> Result<Vec<Value>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<Value>, A::Error> {
        let mut read = Vec::new();
        while let Some(item) = items.next_element_seed(self.0)? {
            read.push(item);
        }
        Ok(read)
    }
}

/// Reads the object of an event.
struct Happened(Keep);

impl<'de> DeserializeSeed<'de> for Happened {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Happened {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event of a watch")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Value::Null;
        while let Some(key) = members.next_key::<Cow<'_, str>>()? {
            if key == "object" {
                object = members.next_value_seed(self.0)?;
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(object)
    }
}

#[cfg(test)]
mod tests {
    use lateen_api::Kind;

    use super::*;

    fn watch(text: &[u8]) -> Watch {
        let buffer = text.to_vec();
        Watch { body: Body::empty(), keep: Keep::object(Kind::Pod), buffer, at: 0, searched: 0 }
    }

    #[test]
    fn events_are_read_line_by_line() {
        let mut watch = watch(
            br#"{"type":"ADDED","object":{"metadata":{"name":"a"}}}
{"type":"UNHEARD","object":{}}

{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"7"}}}
{"type":"DELETED","object":{"metadata":{"na"#,
        );
        let first = watch.buffered().unwrap();
        assert!(matches!(first, Some(Event::Applied(pod)) if pod["metadata"]["name"] == "a"));
        let second = watch.buffered().unwrap();
        assert!(
            matches!(second, Some(Event::Bookmark(at)) if at["metadata"]["resourceVersion"] == "7")
        );
        assert!(watch.buffered().unwrap().is_none(), "half a line");
        watch.buffer.extend_from_slice(b"me\":\"b\"}}}\n");
        let third = watch.buffered().unwrap();
        assert!(matches!(third, Some(Event::Deleted(pod)) if pod["metadata"]["name"] == "b"));
        assert!(watch.buffer.is_empty(), "what was read is gone");
    }

    #[test]
    fn a_watch_says_when_it_is_too_old() {
        let gone = br#"{"type":"ERROR","object":{"kind":"Status","message":"too old","code":410}}
"#;
        assert!(matches!(watch(gone).buffered(), Err(Failure::Gone)));
        let other = br#"{"type":"ERROR","object":{"kind":"Status","message":"etcd","code":500}}
"#;
        let failure = watch(other).buffered();
        assert!(matches!(failure, Err(Failure::Refused { status: 500, .. })), "{failure:?}");
    }

    #[test]
    fn a_list_says_where_it_goes_on() {
        let text = r#"{"kind":"PodList","metadata":{"resourceVersion":"9","continue":"tok"},
            "items":[{"metadata":{"name":"a"}}]}"#;
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let page = Listed(Keep::All).deserialize(&mut deserializer).unwrap();
        assert_eq!((page.version.as_str(), page.next.as_deref()), ("9", Some("tok")));
        assert_eq!(page.items.len(), 1);
    }
}
