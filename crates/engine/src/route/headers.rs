//! Setting, adding and removing headers.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use lateen_mesh::v1;

/// Compiled header operations of a rule or a backend. The authority is no header here; it is
/// [`super::Forward::authority`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderOperations {
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<(HeaderName, HeaderValue)>,
    remove: Vec<HeaderName>,
}

impl HeaderOperations {
    /// The operations, and the authority that they set.
    ///
    /// # Errors
    /// When a name or a value is none that HTTP allows.
    pub(crate) fn compile(
        message: Option<&v1::HeaderOperations>,
    ) -> Result<(Self, Option<Box<str>>), String> {
        let Some(message) = message else { return Ok((Self::default(), None)) };
        let mut operations = Self::default();
        let mut authority = None;
        for header in &message.set {
            if is_authority(&header.name) {
                authority = Some(unescape(&header.value).into());
            } else {
                operations.set.push(compile(header)?);
            }
        }
        for header in &message.add {
            if !is_authority(&header.name) {
                operations.add.push(compile(header)?);
            }
        }
        for header in &message.remove {
            if !is_authority(header) {
                operations.remove.push(name(header)?);
            }
        }
        Ok((operations, authority))
    }

    /// Whether nothing is changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }

    /// Removes, then sets, then adds.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name.clone(), value.clone());
        }
        for (name, value) in &self.add {
            if is_joined(name) {
                join(headers, name, value);
            } else {
                headers.append(name.clone(), value.clone());
            }
        }
    }
}

/// Whether Envoy has one header of this name at most: what is added to it comes after a comma.
fn is_joined(name: &HeaderName) -> bool {
    const JOINED: [HeaderName; 13] = [
        header::ACCEPT,
        header::ACCEPT_ENCODING,
        header::AUTHORIZATION,
        header::CACHE_CONTROL,
        header::CONTENT_ENCODING,
        header::CONTENT_TYPE,
        header::ETAG,
        header::ORIGIN,
        header::REFERER,
        header::TE,
        header::USER_AGENT,
        header::VARY,
        header::VIA,
    ];
    JOINED.contains(name)
}

/// Adds a value to a header that is one; an empty one leaves no trace, as with Envoy.
fn join(headers: &mut HeaderMap, name: &HeaderName, value: &HeaderValue) {
    let former = headers.get(name).filter(|former| !former.is_empty());
    let joined = match former {
        None => Some(value.clone()),
        Some(_) if value.is_empty() => None,
        // Joined from valid values by what is valid between them.
        Some(former) => {
            HeaderValue::from_bytes(&[former.as_bytes(), value.as_bytes()].join(&b","[..])).ok()
        }
    };
    if let Some(joined) = joined {
        headers.insert(name.clone(), joined);
    }
}

fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case("host") || name == ":authority"
}

fn compile(header: &v1::Header) -> Result<(HeaderName, HeaderValue), String> {
    let value = HeaderValue::from_str(&unescape(&header.value))
        .map_err(|_| format!("value of header {}", header.name))?;
    Ok((name(&header.name)?, value))
}

fn name(text: &str) -> Result<HeaderName, String> {
    HeaderName::try_from(text).map_err(|_| format!("header name {text:?}"))
}

/// Envoy reads `%` as the start of a command, so users double a literal one. Commands themselves
/// are not honoured, they stay as written.
fn unescape(value: &str) -> String {
    value.replace("%%", "%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_one_header_stays_one() {
        let pair = |name: &'static str, value: &'static str| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        for (name, former, added, left) in [
            ("content-type", "a", "", &["a"][..]),
            ("content-type", "a", "b", &["a,b"]),
            ("content-type", "", "b", &["b"]),
            ("x-own", "a", "", &["a", ""]),
            ("set-cookie", "a", "b", &["a", "b"]),
        ] {
            let mut headers = HeaderMap::from_iter([pair(name, former)]);
            let operations =
                HeaderOperations { add: vec![pair(name, added)], ..HeaderOperations::default() };
            operations.apply(&mut headers);
            let values: Vec<&[u8]> =
                headers.get_all(name).iter().map(HeaderValue::as_bytes).collect();
            let left: Vec<&[u8]> = left.iter().map(|value| value.as_bytes()).collect();
            assert_eq!(values, left, "{name}: {former:?} and {added:?}");
        }
    }
}
