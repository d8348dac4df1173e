//! AuthorizationPolicies: rules become clauses over attributes of the connection and the request.

mod value;

use std::sync::Arc;

use lateen_api::security::{
    AuthorizationAction, AuthorizationPolicy, Condition, Operation, Rule, Source,
};
use lateen_mesh::v1::{self, Attribute, ValueMatch, authorization_policy::Action};

use super::{Fact, Lowering};
use crate::node::{Authorization, Labels, Policy};

const DRY_RUN: &str = "istio.io/dry-run";

/// How a value of an attribute is read.
type Read = fn(&str) -> Option<ValueMatch>;

impl Lowering<'_> {
    /// A policy that is attached to objects by reference is for waypoints and gateways of the Gateway
    /// API; here it applies to nobody.
    pub(super) fn authorization_policy(&mut self, spec: &AuthorizationPolicy) -> Vec<Fact> {
        if spec.target_ref.is_some() || !spec.target_refs.is_empty() {
            return Vec::new();
        }
        let meta = &self.object.meta;
        let action = match spec.action {
            AuthorizationAction::Allow => Action::Allow,
            AuthorizationAction::Deny => Action::Deny,
            AuthorizationAction::Audit => Action::Audit,
            AuthorizationAction::Custom => Action::Custom,
        };
        let rules = spec.rules.iter().enumerate();
        let policy = v1::AuthorizationPolicy {
            namespace: meta.namespace.clone(),
            name: meta.name.clone(),
            action: action.into(),
            dry_run: meta.annotations.get(DRY_RUN).is_some_and(|value| value == "true"),
            rules: rules.map(|(at, rule)| self.authorization_rule(at, rule)).collect(),
            origin: Some(v1::Origin { object: 1, field: "spec".to_owned() }),
        };
        let selector = spec.selector.as_ref().map(|selector| Labels::new(&selector.match_labels));
        let (source, namespace, name) = (self.source(), self.namespace(), self.name());
        vec![
            Fact::Authorization(Arc::new(Authorization {
                source: source.clone(),
                namespace: namespace.clone(),
                name: name.clone(),
                selector: selector.filter(|labels| !labels.is_empty()),
            })),
            Fact::Policy(Arc::new(Policy { source, namespace, name, policy })),
        ]
    }

    fn authorization_rule(&self, at: usize, rule: &Rule) -> v1::AuthorizationRule {
        let from = rule.from.iter().enumerate().map(|(at, from)| v1::Clauses {
            clauses: from
                .source
                .iter()
                .flat_map(|source| self.source_clauses(&format!("from[{at}].source"), source))
                .collect(),
        });
        let to = rule.to.iter().enumerate().map(|(at, to)| v1::Clauses {
            clauses: to
                .operation
                .iter()
                .flat_map(|operation| operation_clauses(&format!("to[{at}].operation"), operation))
                .collect(),
        });
        let when = rule.when.iter().enumerate();
        v1::AuthorizationRule {
            origin: Some(v1::Origin { object: 1, field: format!("spec.rules[{at}]") }),
            from: from.collect(),
            to: to.collect(),
            when: when.map(|(at, condition)| self.condition(at, condition)).collect(),
        }
    }

    fn source_clauses(&self, field: &str, source: &Source) -> Vec<v1::Clause> {
        let own = &self.object.meta.namespace;
        let accounts = |accounts: &[String]| -> Vec<String> {
            accounts.iter().map(|account| service_account(account, own)).collect()
        };
        let mut clauses = Clauses { field, clauses: Vec::new() };
        clauses.add(
            Attribute::Principal,
            "principals",
            value::text,
            &source.principals,
            &source.not_principals,
        );
        clauses.unsupported(
            "requestPrincipals",
            &source.request_principals,
            &source.not_request_principals,
        );
        clauses.add(
            Attribute::Namespace,
            "namespaces",
            value::pattern,
            &source.namespaces,
            &source.not_namespaces,
        );
        clauses.add(
            Attribute::ServiceAccount,
            "serviceAccounts",
            value::exact,
            &accounts(&source.service_accounts),
            &accounts(&source.not_service_accounts),
        );
        clauses.add(
            Attribute::TrustDomain,
            "trustDomains",
            value::pattern,
            &source.trust_domains,
            &source.not_trust_domains,
        );
        clauses.add(
            Attribute::SourceIp,
            "ipBlocks",
            value::cidr,
            &source.ip_blocks,
            &source.not_ip_blocks,
        );
        clauses.add(
            Attribute::RemoteIp,
            "remoteIpBlocks",
            value::cidr,
            &source.remote_ip_blocks,
            &source.not_remote_ip_blocks,
        );
        clauses.clauses
    }

    fn condition(&self, at: usize, condition: &Condition) -> v1::Clause {
        let own = &self.object.meta.namespace;
        let field = format!("when[{at}]");
        let (attribute, key, read) = match condition.key.as_str() {
            "source.ip" => (Attribute::SourceIp, "", value::cidr as Read),
            "remote.ip" => (Attribute::RemoteIp, "", value::cidr as Read),
            "source.namespace" => (Attribute::Namespace, "", value::pattern as Read),
            "source.principal" => (Attribute::Principal, "", value::text as Read),
            "source.trustDomain" => (Attribute::TrustDomain, "", value::pattern as Read),
            "source.serviceAccount" => {
                let full = |values: &[String]| -> Vec<String> {
                    values.iter().map(|account| service_account(account, own)).collect()
                };
                let (values, not_values) = (full(&condition.values), full(&condition.not_values));
                let attribute = Attribute::ServiceAccount;
                return clause(attribute, "", value::exact, &values, &not_values, field);
            }
            "destination.ip" => (Attribute::DestinationIp, "", value::cidr as Read),
            "destination.port" => (Attribute::DestinationPort, "", value::port as Read),
            "connection.sni" => (Attribute::Sni, "", value::text as Read),
            key => match header(key) {
                Some(name) => (Attribute::Header, name, value::text as Read),
                None => (Attribute::Unsupported, key, value::text as Read),
            },
        };
        let key = if attribute == Attribute::Header { key.to_lowercase() } else { key.to_owned() };
        clause(attribute, &key, read, &condition.values, &condition.not_values, field)
    }
}

/// `request.headers[name]` → `name`.
fn header(key: &str) -> Option<&str> {
    key.strip_prefix("request.headers[")?.strip_suffix(']').filter(|name| !name.is_empty())
}

fn service_account(account: &str, own: &str) -> String {
    if account.contains('/') { account.to_owned() } else { format!("{own}/{account}") }
}

fn operation_clauses(field: &str, operation: &Operation) -> Vec<v1::Clause> {
    let mut clauses = Clauses { field, clauses: Vec::new() };
    clauses.add(Attribute::Host, "hosts", value::host, &operation.hosts, &operation.not_hosts);
    clauses.add(
        Attribute::DestinationPort,
        "ports",
        value::port,
        &operation.ports,
        &operation.not_ports,
    );
    clauses.add(
        Attribute::Method,
        "methods",
        value::text,
        &operation.methods,
        &operation.not_methods,
    );
    clauses.add(Attribute::Path, "paths", value::path, &operation.paths, &operation.not_paths);
    clauses.clauses
}

/// Clauses of one source or operation.
struct Clauses<'a> {
    field: &'a str,
    clauses: Vec<v1::Clause>,
}

impl Clauses<'_> {
    fn add(
        &mut self,
        attribute: Attribute,
        name: &str,
        read: Read,
        values: &[String],
        not_values: &[String],
    ) {
        if !values.is_empty() || !not_values.is_empty() {
            let field = format!("{}.{name}", self.field);
            self.clauses.push(clause(attribute, "", read, values, not_values, field));
        }
    }

    fn unsupported(&mut self, name: &str, values: &[String], not_values: &[String]) {
        if !values.is_empty() || !not_values.is_empty() {
            let field = format!("{}.{name}", self.field);
            let attribute = Attribute::Unsupported;
            self.clauses.push(clause(attribute, name, value::text, values, not_values, field));
        }
    }
}

/// A value that cannot be read leaves something that nobody can evaluate, which is what UNSUPPORTED
/// stands for: it never allows and always denies.
fn clause(
    attribute: Attribute,
    key: &str,
    read: Read,
    values: &[String],
    not_values: &[String],
    field: String,
) -> v1::Clause {
    let read_all = |values: &[String]| -> Option<Vec<ValueMatch>> {
        values.iter().map(|value| read(value)).collect()
    };
    match (read_all(values), read_all(not_values)) {
        (Some(values), Some(not_values)) => v1::Clause {
            attribute: attribute.into(),
            key: key.to_owned(),
            values,
            not_values,
            field,
        },
        _ => v1::Clause {
            attribute: Attribute::Unsupported.into(),
            key: field.clone(),
            field,
            ..v1::Clause::default()
        },
    }
}
