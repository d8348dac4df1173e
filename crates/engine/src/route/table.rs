//! Everything that may be done with traffic to one host.

use std::net::SocketAddr;
use std::sync::Arc;

use lateen_mesh::v1;

use super::backend::BackendRefs;
use super::index::Index;
use super::l4::L4Rule;
use super::rule::Rule;
use crate::directory::is_pattern;
use crate::origin::{Objects, Origin};

/// A compiled `Routes` resource.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) host: Arc<str>,
    pub(crate) origin: Origin,
    pub(crate) https_redirect: bool,
    pub(crate) rules: Vec<Rule>,
    pub(crate) index: Index,
    pub(crate) tcp: Vec<L4Rule>,
    pub(crate) tls: Vec<L4Rule>,
    /// Destinations that must be there for the table to be used.
    pub(crate) references: BackendRefs,
}

impl Table {
    /// # Errors
    /// With the reason that is told to the control plane.
    pub(crate) fn compile(message: &v1::Routes, objects: &Objects) -> Result<Self, String> {
        if !is_pattern(&message.host) {
            return Err("`*` may only stand for whole first labels of a host".to_owned());
        }
        let rules: Vec<_> = message
            .http
            .iter()
            .map(|rule| Rule::compile(rule, objects))
            .collect::<Result<_, _>>()?;
        let tcp = message.tcp.iter().map(|rule| {
            L4Rule::compile(rule.origin.as_ref(), &rule.matches, &rule.backends, objects)
        });
        let tls = message.tls.iter().map(|rule| {
            L4Rule::compile(rule.origin.as_ref(), &rule.matches, &rule.backends, objects)
        });
        let mut table = Self {
            host: message.host.as_str().into(),
            origin: objects.resolve(message.origin.as_ref())?,
            https_redirect: message.https_redirect,
            index: Index::new(&rules),
            rules,
            tcp: tcp.collect::<Result<_, _>>()?,
            tls: tls.collect::<Result<_, _>>()?,
            references: BackendRefs::new(),
        };
        let mut references = BackendRefs::new();
        table.rules.iter().for_each(|rule| rule.references(&mut references));
        table.tcp.iter().for_each(|rule| rule.references(&mut references));
        table.tls.iter().for_each(|rule| rule.references(&mut references));
        references.sort();
        references.dedup();
        table.references = references;
        Ok(table)
    }

    /// The TLS rule for a server name, or the TCP rule for anything.
    pub(crate) fn tls_rule(
        &self,
        destination: SocketAddr,
        port: u16,
        sni: Option<&str>,
    ) -> Option<&L4Rule> {
        self.tls.iter().find(|rule| rule.matches(destination, port, sni))
    }

    pub(crate) fn tcp_rule(&self, destination: SocketAddr, port: u16) -> Option<&L4Rule> {
        self.tcp.iter().find(|rule| rule.matches(destination, port, None))
    }
}
