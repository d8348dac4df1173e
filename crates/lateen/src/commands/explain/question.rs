//! The request in question.

use anyhow::Context;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, uri};
use serde::Deserialize;

/// The request in question, as its sender sends it.
#[derive(Debug, Clone)]
pub struct Question {
    pub method: String,
    /// `http` or `https`.
    pub scheme: String,
    /// The `host` header, else what the URL has: host and perhaps port.
    pub authority: String,
    /// The host that is dialled, in lower case.
    pub host: String,
    /// The port that is dialled, as in the YAML.
    pub port: u16,
    pub path_and_query: String,
    pub headers: HeaderMap,
}

/// A line of a file of questions.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    method: String,
    url: String,
    #[serde(default)]
    headers: Vec<String>,
}

impl Question {
    /// Reads a line of JSON.
    pub fn parse(line: &str) -> anyhow::Result<Self> {
        let line: Line = serde_json::from_str(line).context("not a request")?;
        Self::new(&line.method, &line.url, &line.headers)
    }

    /// `headers`: `name: value` each.
    pub fn new(method: &str, url: &str, headers: &[String]) -> anyhow::Result<Self> {
        let url: Uri = url.parse().with_context(|| format!("{url:?} is no URL"))?;
        let authority = url.authority().context("the URL has no host")?;
        let scheme = url.scheme_str().unwrap_or("http");
        anyhow::ensure!(matches!(scheme, "http" | "https"), "{scheme} is not http or https");
        let mut map =
            headers.iter().map(|text| header(text)).collect::<anyhow::Result<HeaderMap>>()?;
        let named = map.remove(http::header::HOST);
        let named = named.as_ref().map(HeaderValue::to_str).transpose()?;
        let asked = named.unwrap_or(authority.as_str());
        uri::Authority::try_from(asked).with_context(|| format!("{asked:?} is no host"))?;
        Ok(Self {
            method: http::Method::try_from(method)
                .with_context(|| format!("{method:?} is no method"))?
                .to_string(),
            scheme: scheme.to_owned(),
            authority: asked.to_owned(),
            host: authority.host().to_ascii_lowercase(),
            port: port(authority)?.unwrap_or(if scheme == "https" { 443 } else { 80 }),
            path_and_query: url
                .path_and_query()
                .map_or_else(|| "/".to_owned(), |path| path.as_str().to_owned()),
            headers: map,
        })
    }

    pub fn is_tls(&self) -> bool {
        self.scheme == "https"
    }
}

/// The port that is written out, if one is.
fn port(authority: &uri::Authority) -> anyhow::Result<Option<u16>> {
    match authority.as_str().rsplit_once(':') {
        Some((_, port)) if !port.is_empty() && !port.contains([']', '@']) => {
            port.parse().map(Some).with_context(|| format!("{port} is no port"))
        }
        _ => Ok(None),
    }
}

fn header(text: &str) -> anyhow::Result<(HeaderName, HeaderValue)> {
    let (name, value) =
        text.split_once(':').with_context(|| format!("header {text:?} is not `name: value`"))?;
    Ok((
        HeaderName::try_from(name.trim()).with_context(|| format!("{name:?} is no header name"))?,
        HeaderValue::try_from(value.trim())
            .with_context(|| format!("{value:?} is no header value"))?,
    ))
}
