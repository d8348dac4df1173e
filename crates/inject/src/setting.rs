//! A setting of a pod: what its annotation says, else what the chart's values say; checked as Istio
//! checks annotations.

use serde_json::Value;

use crate::error::Error;
use crate::json::{annotation, switch};

/// A setting's text with the place where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting<'a> {
    name: &'static str,
    path: &'static str,
    /// Whether the annotation is there.
    pub(crate) annotated: bool,
    /// The text.
    pub(crate) text: &'a str,
}

impl<'a> Setting<'a> {
    /// The annotation `name`, else `value`, which stands at `path` in the chart's values.
    pub(crate) fn new(
        pod: &'a Value,
        name: &'static str,
        path: &'static str,
        value: &'a str,
    ) -> Self {
        match annotation(pod, name) {
            Some(text) => Self { name, path, annotated: true, text },
            None => Self { name, path, annotated: false, text: value },
        }
    }

    fn wrong(&self, part: &str, fault: &str) -> Error {
        let Self { name, path, annotated, .. } = self;
        let origin = match (annotated, path.is_empty()) {
            (true, true) => format!("the annotation {name}"),
            (true, false) => format!("the annotation {name} (for the value {path})"),
            (false, _) => format!("the value {path}"),
        };
        Error::setting(&origin, part, fault)
    }

    fn entries(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.text.split(',').map(str::trim).filter(|entry| !entry.is_empty())
    }

    /// A list of address ranges; with `any`, `*` is a list, too.
    pub(crate) fn ranges(self, any: bool) -> Result<&'a str, Error> {
        if any && self.text.trim() == "*" {
            return Ok("*");
        }
        for entry in self.entries() {
            if !is_range(entry) {
                let fault = "is no range of addresses such as 10.0.0.0/8 or 2001:db8::/32";
                return Err(self.wrong(entry, fault));
            }
        }
        Ok(self.text)
    }

    /// A list of ports; with `any`, `*` is a list, too.
    pub(crate) fn ports(self, any: bool) -> Result<&'a str, Error> {
        if any && self.text.trim() == "*" {
            return Ok("*");
        }
        for entry in self.entries() {
            if !entry.parse::<u16>().is_ok_and(|port| port > 0) {
                return Err(self.wrong(entry, "is no port: a number from 1 to 65535 is expected"));
            }
        }
        Ok(self.text)
    }

    /// A port, or 0.
    pub(crate) fn port(self) -> Result<u16, Error> {
        let text = self.text.trim();
        if text.is_empty() {
            return Ok(0);
        }
        text.parse()
            .map_err(|_| self.wrong(text, "is no port: a number from 0 to 65535 is expected"))
    }

    /// A number of seconds or of times.
    pub(crate) fn count(self) -> Result<u32, Error> {
        let text = self.text.trim();
        text.parse().map_err(|_| self.wrong(text, "is no number from 0 to 4294967295"))
    }

    /// A switch.
    pub(crate) fn switch(self) -> Result<bool, Error> {
        let fault = "is neither true nor false";
        switch(self.text.trim()).ok_or_else(|| self.wrong(self.text, fault))
    }

    /// How connections get to the proxy.
    pub(crate) fn mode(self) -> Result<&'a str, Error> {
        match self.text {
            "REDIRECT" | "TPROXY" | "NONE" => Ok(self.text),
            other => Err(self.wrong(other, "is no interception mode: REDIRECT, TPROXY or NONE")),
        }
    }

    /// An amount of a resource, by Kubernetes' rules.
    pub(crate) fn quantity(self) -> Result<&'a str, Error> {
        if is_quantity(self.text) {
            return Ok(self.text);
        }
        Err(self.wrong(self.text, "is no amount such as 100m or 128Mi"))
    }

    /// A JSON object.
    pub(crate) fn object(self) -> Result<serde_json::Map<String, Value>, Error> {
        match serde_json::from_str(self.text) {
            Ok(Value::Object(members)) => Ok(members),
            Ok(_) => Err(self.wrong(self.text, "is no JSON object")),
            Err(error) => Err(self.wrong(self.text, &format!("is no JSON: {error}"))),
        }
    }
}

/// An address with the length of a prefix.
fn is_range(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let most = match address.parse::<std::net::IpAddr>() {
        Ok(std::net::IpAddr::V4(_)) => 32,
        Ok(std::net::IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    !length.starts_with('+') && length.parse::<u8>().is_ok_and(|length| length <= most)
}

/// A decimal number with a suffix of Kubernetes' quantities, or an exponent.
fn is_quantity(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(digits);
    let sound = number.bytes().any(|byte| byte.is_ascii_digit())
        && number.bytes().filter(|byte| *byte == b'.').count() <= 1;
    let exponent = suffix.strip_prefix(['e', 'E']).is_some_and(|rest| rest.parse::<i32>().is_ok());
    let known =
        ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    sound && (known.contains(&suffix) || exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_those_of_kubernetes() {
        for good in ["1", "100m", "0.5", "128Mi", "1e3", "2E", "0"] {
            assert!(is_quantity(good), "{good}");
        }
        for bad in ["", "m", "1.2.3", "10MB", "1 Gi", "abc", "1ex"] {
            assert!(!is_quantity(bad), "{bad}");
        }
    }

    #[test]
    fn ranges_are_addresses_with_a_length() {
        for good in ["10.0.0.0/8", "10.96.0.2/24", "::/0", "2001:db8::/32"] {
            assert!(is_range(good), "{good}");
        }
        for bad in ["bad", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/+8", "*"] {
            assert!(!is_range(bad), "{bad}");
        }
    }
}
