//! Checks that several kinds share.

use std::collections::{BTreeMap, BTreeSet};

use super::Validator;
use super::syntax::{self, Check};
use crate::diagnostic::Code;
use crate::networking::{Destination, StringMatch, StringMatchType, WorkloadSelector};

impl Validator {
    /// Reports a bad value at this place.
    pub(super) fn check(&mut self, check: Check) {
        if let Err(message) = check {
            self.error(Code::BadValue, message);
        }
    }

    /// Reports a bad value in a field.
    pub(super) fn check_field(&mut self, name: &str, check: Check) {
        self.field(name, |v| v.check(check));
    }

    /// Reports that a field must be set.
    pub(super) fn missing(&mut self, name: &str, message: impl Into<String>) {
        self.field(name, |v| v.error(Code::MissingField, message));
    }

    /// Reports that fields exclude each other, at the field that is to go.
    pub(super) fn conflict(&mut self, name: &str, message: impl Into<String>) {
        self.field(name, |v| v.error(Code::ConflictingFields, message));
    }
}

/// Labels that select workloads.
pub(super) fn labels(v: &mut Validator, name: &str, labels: &BTreeMap<String, String>) {
    v.each_key(name, labels, |v, key, value| {
        v.check(syntax::label_key(key));
        v.check(syntax::label_value(value));
    });
}

/// Labels that select workloads of a namespace, in `workloadSelector`.
pub(super) fn workload_selector(v: &mut Validator, selector: Option<&WorkloadSelector>) {
    let Some(selector) = selector else { return };
    v.field("workloadSelector", |v| {
        if selector.labels.is_empty() {
            v.warn(Code::NoEffect, "the selector has no labels, so it selects every workload");
        }
        labels(v, "labels", &selector.labels);
    });
}

/// Who may see the object. `~` is for ServiceEntries.
pub(super) fn export_to(
    v: &mut Validator,
    entries: &[String],
    namespace: &str,
    none_allowed: bool,
) {
    let mut seen = BTreeSet::new();
    v.each("exportTo", entries, |v, entry| {
        let valid = match entry.as_str() {
            "*" | "." => true,
            "~" => none_allowed,
            name => syntax::is_namespace(name),
        };
        if !valid {
            v.error(Code::BadValue, format!("`{entry}` is not `.`, `*` or a namespace"));
        }
        let meant = if entry == "." { namespace } else { entry };
        if !seen.insert(meant.to_owned()) {
            v.error(Code::Inconsistent, format!("`{entry}` says the same as an entry before"));
        }
    });
    let alone = |wanted: &str| entries.iter().any(|entry| entry == wanted) && entries.len() > 1;
    if alone("*") || alone("~") {
        v.field("exportTo", |v| {
            v.error(Code::Inconsistent, "`*` and `~` stand alone");
        });
    }
}

/// How text is compared; `what` names the text.
pub(super) fn string_match(v: &mut Validator, matcher: &StringMatch) {
    match &matcher.match_type {
        Some(StringMatchType::Prefix(prefix)) if prefix.is_empty() => {
            v.field("prefix", |v| v.error(Code::BadValue, "the prefix is empty"));
        }
        Some(StringMatchType::Regex(text)) if text != "*" => v.field("regex", |v| {
            if let Err(message) = syntax::regex(text) {
                v.error(Code::BadRegex, message);
            }
        }),
        _ => {}
    }
}

/// A service that traffic goes to.
pub(super) fn destination(v: &mut Validator, name: &str, destination: Option<&Destination>) {
    let Some(destination) = destination else {
        return v.missing(name, "a destination is needed");
    };
    v.field(name, |v| {
        if destination.host == "*" {
            v.check_field("host", Err("a destination cannot be `*`".to_owned()));
        } else {
            v.check_field("host", syntax::wildcard_domain(&destination.host));
        }
        if !destination.subset.is_empty() {
            v.check_field("subset", subset_name(&destination.subset));
        }
        if let Some(port) = &destination.port {
            v.field("port", |v| v.check_field("number", syntax::port(port.number)));
        }
    });
}

/// The name of a subset.
pub(super) fn subset_name(name: &str) -> Check {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !name.is_empty() && name.bytes().all(inner) {
        return Ok(());
    }
    Err(format!("`{name}` is not a valid name of a subset"))
}

/// The address that a listener binds.
pub(super) fn bind_address(v: &mut Validator, bind: &str, port: u32) {
    if let Some(path) = bind.strip_prefix("unix://") {
        v.check_field("bind", syntax::unix_path(path));
        if port != 0 {
            v.field("port", |v| {
                v.error(Code::Inconsistent, "a Unix socket has no port: leave the number out");
            });
        }
    } else if !bind.is_empty() && !syntax::is_ip(bind) {
        let message = format!("`{bind}` is neither an IP address nor `unix://` and a path");
        v.check_field("bind", Err(message));
    }
}
