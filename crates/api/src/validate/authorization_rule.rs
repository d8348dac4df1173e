//! Rules of an AuthorizationPolicy.

use super::{Validator, syntax};
use crate::diagnostic::Code;
use crate::security::{Condition, Operation, Rule, Source};

const MAX_SERVICE_ACCOUNTS: usize = 16;
const MAX_SERVICE_ACCOUNT_LEN: usize = 320;

/// What a condition's values must look like.
#[derive(Clone, Copy, PartialEq)]
enum Values {
    Any,
    Addresses,
    Ports,
}

pub(super) fn rule(v: &mut Validator, rule: &Rule, custom: bool) {
    v.each("from", &rule.from, |v, from| match &from.source {
        Some(it) if *it != Source::default() => v.field("source", |v| source(v, it, custom)),
        _ => v.missing("source", "a source needs at least one field"),
    });
    v.each("to", &rule.to, |v, to| match &to.operation {
        Some(it) if *it != Operation::default() => v.field("operation", |v| operation(v, it)),
        _ => v.missing("operation", "an operation needs at least one field"),
    });
    v.each("when", &rule.when, |v, it| condition(v, it, custom));
}

fn source(v: &mut Validator, source: &Source, custom: bool) {
    let lists = [
        ("principals", &source.principals),
        ("notPrincipals", &source.not_principals),
        ("requestPrincipals", &source.request_principals),
        ("notRequestPrincipals", &source.not_request_principals),
        ("namespaces", &source.namespaces),
        ("notNamespaces", &source.not_namespaces),
        ("serviceAccounts", &source.service_accounts),
        ("notServiceAccounts", &source.not_service_accounts),
        ("trustDomains", &source.trust_domains),
        ("notTrustDomains", &source.not_trust_domains),
    ];
    for (name, values) in lists {
        not_empty(v, name, values);
        if custom && !values.is_empty() {
            v.field(name, |v| v.error(Code::Inconsistent, "not possible with action CUSTOM"));
        }
    }
    for (name, blocks) in [
        ("ipBlocks", &source.ip_blocks),
        ("notIpBlocks", &source.not_ip_blocks),
        ("remoteIpBlocks", &source.remote_ip_blocks),
        ("notRemoteIpBlocks", &source.not_remote_ip_blocks),
    ] {
        v.each(name, blocks, |v, block| v.check(syntax::ip_or_cidr(block)));
    }
    for (name, accounts) in [
        ("serviceAccounts", &source.service_accounts),
        ("notServiceAccounts", &source.not_service_accounts),
    ] {
        service_accounts(v, name, accounts);
    }
    for (name, domains) in
        [("trustDomains", &source.trust_domains), ("notTrustDomains", &source.not_trust_domains)]
    {
        v.each(name, domains, |v, domain| v.check(trust_domain(domain)));
    }
    check_combination(v, source);
}

/// A service account already says its namespace.
fn check_combination(v: &mut Validator, source: &Source) {
    let accounts = !source.service_accounts.is_empty() || !source.not_service_accounts.is_empty();
    for (name, values) in [
        ("principals", &source.principals),
        ("notPrincipals", &source.not_principals),
        ("namespaces", &source.namespaces),
        ("notNamespaces", &source.not_namespaces),
    ] {
        if accounts && !values.is_empty() {
            v.conflict(name, format!("`{name}` excludes `serviceAccounts`"));
        }
    }
}

fn service_accounts(v: &mut Validator, name: &str, accounts: &[String]) {
    if accounts.len() > MAX_SERVICE_ACCOUNTS {
        let message = format!("more than {MAX_SERVICE_ACCOUNTS} service accounts");
        v.check_field(name, Err(message));
    }
    v.each(name, accounts, |v, account| {
        let parts = account.split('/').count();
        let halves_set = account.split('/').all(|part| !part.is_empty());
        if account.len() > MAX_SERVICE_ACCOUNT_LEN {
            let message = format!("longer than {MAX_SERVICE_ACCOUNT_LEN} characters");
            v.error(Code::BadValue, message);
        } else if account.contains('*') || parts > 2 || !halves_set {
            let message = format!("`{account}` is not `ACCOUNT` or `NAMESPACE/ACCOUNT`");
            v.error(Code::BadValue, message);
        }
    });
}

/// A trust domain, `*`, or one with a single wildcard within one label.
fn trust_domain(domain: &str) -> syntax::Check {
    let without = domain.replacen('*', "x", 1);
    if domain == "*" || syntax::fqdn(&without).is_ok() {
        return Ok(());
    }
    Err(format!("`{domain}` is not a trust domain with one `*` at most"))
}

fn operation(v: &mut Validator, operation: &Operation) {
    for (name, values) in [
        ("hosts", &operation.hosts),
        ("notHosts", &operation.not_hosts),
        ("methods", &operation.methods),
        ("notMethods", &operation.not_methods),
    ] {
        not_empty(v, name, values);
    }
    for (name, ports) in [("ports", &operation.ports), ("notPorts", &operation.not_ports)] {
        v.each(name, ports, |v, port| v.check(port_text(port)));
    }
    for (name, paths) in [("paths", &operation.paths), ("notPaths", &operation.not_paths)] {
        not_empty(v, name, paths);
        v.each(name, paths, |v, path| v.check(path_pattern(path)));
    }
}

fn port_text(text: &str) -> syntax::Check {
    match text.parse::<u32>() {
        Ok(number) => syntax::port(number),
        Err(_) => Err(format!("`{text}` is not a port")),
    }
}

/// A path with `*` at one end, or a template: `{*}` for a segment, and as the last of these `{**}`
/// for any number, each a segment of its own.
fn path_pattern(path: &str) -> syntax::Check {
    let templated = path.contains("{*}") || path.contains("{**}");
    if !templated {
        return Ok(());
    }
    let mut rest_seen = false;
    for segment in path.split('/') {
        match segment {
            "{*}" | "{**}" if rest_seen => {
                return Err(format!("no other template can follow `{{**}}` in `{path}`"));
            }
            "{**}" => rest_seen = true,
            "{*}" => {}
            other if other.contains(['{', '}', '*']) => {
                return Err(format!(
                    "`{other}` in `{path}`: a template is a segment of its own, without other `*`"
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

fn condition(v: &mut Validator, condition: &Condition, custom: bool) {
    if condition.key.is_empty() {
        return v.missing("key", "the attribute is needed");
    }
    let Some(kind) = attribute(&condition.key) else {
        let message = format!("`{}` is not an attribute", condition.key);
        return v.check_field("key", Err(message));
    };
    if condition.values.is_empty() && condition.not_values.is_empty() {
        v.missing("values", "one of `values` and `notValues` is needed");
    }
    let pending = is_pending(&condition.key);
    if pending {
        v.field("key", |v| v.not_honoured(&condition.key));
    }
    let identity = condition.key.starts_with("source.") && condition.key != "source.ip";
    if custom && (identity || condition.key.starts_with("request.auth.")) {
        v.field("key", |v| v.error(Code::Inconsistent, "not possible with action CUSTOM"));
    }
    for (name, values) in [("values", &condition.values), ("notValues", &condition.not_values)] {
        not_empty(v, name, values);
        v.each(name, values, |v, value| match kind {
            Values::Addresses => v.check(syntax::ip_or_cidr(value)),
            Values::Ports => v.check(port_text(value)),
            Values::Any => {}
        });
    }
}

/// What an attribute's values look like; nothing for what is no attribute.
fn attribute(key: &str) -> Option<Values> {
    match key {
        "source.ip" | "remote.ip" | "destination.ip" => Some(Values::Addresses),
        "destination.port" => Some(Values::Ports),
        "source.namespace"
        | "source.principal"
        | "source.serviceAccount"
        | "source.trustDomain"
        | "request.auth.principal"
        | "request.auth.audiences"
        | "request.auth.presenter"
        | "connection.sni" => Some(Values::Any),
        _ => {
            let with_name = |prefix: &str| {
                let rest = key.strip_prefix(prefix)?;
                let name = rest.strip_suffix(']')?;
                (!name.is_empty()).then_some(Values::Any)
            };
            with_name("request.headers[")
                .or_else(|| with_name("request.auth.claims["))
                .or_else(|| with_name("experimental.envoy.filters."))
        }
    }
}

/// Attributes that Lateen does not know yet: what a token says, and Envoy's own filters.
fn is_pending(key: &str) -> bool {
    key.starts_with("request.auth.") || key.starts_with("experimental.envoy.filters.")
}

/// Whether the rule speaks of requests without naming ports, so that it means something else on TCP
/// ports.
pub(super) fn uses_http(rule: &Rule) -> bool {
    let operations = || rule.to.iter().filter_map(|to| to.operation.as_ref());
    let names_ports = operations().any(|it| !it.ports.is_empty());
    let of_requests = operations().any(|it| {
        let lists =
            [&it.hosts, &it.not_hosts, &it.methods, &it.not_methods, &it.paths, &it.not_paths];
        lists.iter().any(|list| !list.is_empty())
    });
    let mut sources = rule.from.iter().filter_map(|from| from.source.as_ref());
    let of_tokens = sources
        .any(|it| !it.request_principals.is_empty() || !it.not_request_principals.is_empty());
    let of_attributes = rule.when.iter().any(|it| it.key.starts_with("request."));
    !names_ports && (of_requests || of_tokens || of_attributes)
}

fn not_empty(v: &mut Validator, name: &str, values: &[String]) {
    v.each(name, values, |v, value| {
        if value.is_empty() {
            v.error(Code::BadValue, "the value is empty");
        }
    });
}
