//! Setting, adding and removing headers.

use http::{HeaderMap, HeaderName, HeaderValue};
use lateen_mesh::v1;

use crate::joined::join;

/// Compiled header operations of a rule or a backend. The authority is no header here; it is
/// [`super::Forward::authority`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderOperations {
    set: Vec<(HeaderName, HeaderValue)>,
    add: Vec<Added>,
    remove: Vec<HeaderName>,
}

/// A header that is added.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Added {
    name: HeaderName,
    value: HeaderValue,
    /// It becomes one with what is there.
    joined: bool,
}

impl HeaderOperations {
    /// The operations, and the authority that they set. `joined`: headers of which there is one.
    ///
    /// # Errors
    /// When a name or a value is none that HTTP allows.
    pub(crate) fn compile(
        message: Option<&v1::HeaderOperations>,
        joined: &[HeaderName],
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
                let (name, value) = compile(header)?;
                operations.add.push(Added { joined: joined.contains(&name), name, value });
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
        for Added { name, value, joined } in &self.add {
            headers.append(name.clone(), value.clone());
            if *joined {
                join(headers, name, b",");
            }
        }
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
    use crate::joined::REQUEST;

    #[test]
    fn what_is_one_header_stays_one() {
        for (name, former, added, left) in [
            ("content-type", "a", "", &["a"][..]),
            ("content-type", "a", "b", &["a,b"]),
            ("content-type", "", "b", &["b"]),
            ("x-own", "a", "", &["a", ""]),
            ("x-own", "", "b", &["", "b"]),
            ("age", "", "b", &["", "b"]),
        ] {
            let added = v1::Header { name: name.to_owned(), value: added.to_owned() };
            let message = v1::HeaderOperations { add: vec![added], ..Default::default() };
            let (operations, _) = HeaderOperations::compile(Some(&message), &REQUEST).unwrap();
            let former = HeaderValue::from_static(former);
            let mut headers = HeaderMap::from_iter([(HeaderName::from_static(name), former)]);
            operations.apply(&mut headers);
            let values: Vec<_> = headers.get_all(name).iter().collect();
            assert_eq!(values, left, "{message:?}");
        }
    }
}
