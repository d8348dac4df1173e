//! TCP and TLS rules.

use std::net::SocketAddr;

use lateen_mesh::address::Block;
use lateen_mesh::v1;

use super::backend::{BackendRefs, Backends};
use crate::authority;
use crate::directory::host_matches;
use crate::origin::{Objects, Origin};

/// A compiled `TcpRule` or `TlsRule`.
#[derive(Debug)]
pub(crate) struct L4Rule {
    pub(crate) origin: Origin,
    matches: Vec<L4Match>,
    pub(crate) backends: Backends,
}

#[derive(Debug)]
struct L4Match {
    /// Lower case; empty: any.
    sni: Vec<Box<str>>,
    subnets: Vec<Block>,
    /// 0: any.
    port: u16,
}

impl L4Rule {
    pub(crate) fn compile(
        origin: Option<&v1::Origin>,
        matches: &[v1::L4Match],
        backends: &[v1::Backend],
        objects: &Objects,
    ) -> Result<Self, String> {
        Ok(Self {
            origin: objects.resolve(origin)?,
            matches: matches.iter().map(L4Match::compile).collect::<Result<_, _>>()?,
            backends: Backends::compile(backends, objects)?,
        })
    }

    pub(crate) fn references(&self, refs: &mut BackendRefs) {
        self.backends.references(refs);
    }

    /// The best of the server names that match; empty: any name does.
    pub(crate) fn sni_pattern(
        &self,
        destination: SocketAddr,
        port: u16,
        name: Option<&str>,
    ) -> Option<&str> {
        if self.matches.is_empty() {
            return Some("");
        }
        let fitting = self.matches.iter().filter(|it| it.matches(destination, port, name));
        fitting
            .map(|matched| {
                let patterns = matched.sni.iter().map(|pattern| &**pattern);
                patterns
                    .filter(|pattern| name.is_some_and(|name| host_matches(pattern, name)))
                    .max_by_key(|pattern| (!pattern.starts_with('*'), pattern.len()))
                    .unwrap_or("")
            })
            .max_by_key(|pattern| (!pattern.is_empty() && !pattern.starts_with('*'), pattern.len()))
    }

    /// Whether it may match connections that come in on this port.
    pub(crate) fn is_for(&self, port: u16) -> bool {
        self.matches.is_empty()
            || self.matches.iter().any(|matched| matched.port == 0 || matched.port == port)
    }

    /// Whether it matches a connection to this address that came in on this listener's port.
    pub(crate) fn matches(&self, destination: SocketAddr, port: u16, sni: Option<&str>) -> bool {
        self.matches.is_empty()
            || self.matches.iter().any(|matched| matched.matches(destination, port, sni))
    }
}

impl L4Match {
    fn compile(message: &v1::L4Match) -> Result<Self, String> {
        Ok(Self {
            sni: message.sni.iter().map(|sni| sni.to_ascii_lowercase().into()).collect(),
            subnets: message
                .destination_subnets
                .iter()
                .map(|bytes| Block::decode(bytes).ok_or_else(|| "a bad subnet".to_owned()))
                .collect::<Result<_, _>>()?,
            port: u16::try_from(message.port)
                .map_err(|_| format!("port {} of a match", message.port))?,
        })
    }

    fn matches(&self, destination: SocketAddr, port: u16, sni: Option<&str>) -> bool {
        let named = || {
            // As with Istio, every name is also none.
            let any = self.sni.iter().any(|pattern| &**pattern == "*");
            any || sni.is_some_and(|sni| {
                let sni = authority::lower(sni);
                self.sni.iter().any(|pattern| host_matches(pattern, &sni))
            })
        };
        (self.port == 0 || self.port == port)
            && (self.subnets.is_empty()
                || self.subnets.iter().any(|subnet| subnet.contains(destination.ip())))
            && (self.sni.is_empty() || named())
    }
}
