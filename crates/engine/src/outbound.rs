//! What a captured connection is.
//!
//! The order, of which the first that applies decides: (1) the exact address of a TCP, sniffed or
//! headless entry; (2) the longest block around the address; (3) HTTP by authority, where the port
//! is HTTP in this scope; (4) TLS by server name; (5) entries without an address, whose port is
//! all there is to know them by; (6) the outbound policy.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::connection::{Connection, Hosts, HttpScope, Inspect, OnSilence, Seen, TcpForward};
use crate::destination::Protocol;
use crate::directory::{Entries, Entry, host_matches};
use crate::explain::{Explained, Trace, Untraced, What, explain};
use crate::origin::Origin;
use crate::plan::{Need, Plan};
use crate::reason::{Reason, Refusal};
use crate::route::Table;

/// A connection of which only the address is known.
#[derive(Debug)]
pub struct Outbound<'p> {
    plan: &'p Plan,
    destination: SocketAddr,
    /// Entries that the address belongs to; they alone decide, if there are any.
    by_address: Entries<'p>,
    /// Whether [`Self::by_address`] are there by a block, not by their own address.
    by_block: bool,
    open: Entries<'p>,
    inspect: Inspect,
}

impl Plan {
    /// Begins the decision about a captured connection to this address. Ports are those of the
    /// model, without local mode's shift.
    ///
    /// # Errors
    /// The details that must arrive before it is known what to look at.
    pub fn outbound(&self, destination: SocketAddr) -> Result<Outbound<'_>, Need<'_>> {
        let (address, port) = (destination.ip(), destination.port());
        let mut by_address = self.directory.at_address(address, port, &self.surroundings());
        let by_block = by_address.is_empty();
        if by_block {
            by_address = self.directory.at_block(address, port);
        }
        let open = self.directory.at_open_port(port);
        let mut outbound = Outbound {
            plan: self,
            destination,
            by_address,
            by_block,
            open,
            inspect: Inspect::NOTHING,
        };
        outbound.inspect = outbound.find_inspect()?;
        Ok(outbound)
    }
}

impl<'p> Outbound<'p> {
    /// What must be looked at before [`Self::decide`].
    #[must_use]
    pub fn inspect(&self) -> Inspect {
        self.inspect
    }

    /// What becomes of the connection. `random` draws among the backends of a TCP rule.
    #[must_use]
    pub fn decide(&self, seen: Seen<'_>, random: u64) -> Connection<'p> {
        self.decide_traced(seen, random, &mut Untraced)
    }

    /// [`Self::decide`], explained.
    #[must_use]
    pub fn explain(&self, seen: Seen<'_>, random: u64) -> Explained<Connection<'p>> {
        explain(|trace| self.decide_traced(seen, random, trace))
    }

    fn find_inspect(&self) -> Result<Inspect, Need<'p>> {
        let port = self.destination.port();
        if !self.by_address.is_empty() {
            return self.inspect_entries(&self.by_address);
        }
        let http = self.plan.directory.is_http_port(port);
        let tls = self.plan.directory.has_tls_port(port);
        let open = self.inspect_entries(&self.open)?;
        // Whoever falls through to an entry without an address may be waiting for its server.
        let on_silence = if !self.open.is_empty() && (http || open.http) {
            OnSilence::Dial
        } else {
            OnSilence::Wait
        };
        Ok(Inspect { tls: tls || open.tls, http: http || open.http, on_silence })
    }

    fn inspect_entries(&self, entries: &[&'p Arc<Entry>]) -> Result<Inspect, Need<'p>> {
        let mut inspect = Inspect::NOTHING;
        for entry in entries {
            let table = self.plan.routes(&entry.host).ok_or(Need { host: &entry.host })?;
            inspect.tls |= !table.tls.is_empty();
            match entry.protocol(self.destination.port()) {
                Some(Protocol::Auto) => {
                    inspect.http = true;
                    inspect.on_silence = OnSilence::Dial;
                }
                Some(Protocol::Tls) => inspect.tls |= self.by_block,
                _ => {}
            }
        }
        Ok(inspect)
    }

    fn decide_traced<T: Trace>(
        &self,
        seen: Seen<'_>,
        random: u64,
        trace: &mut T,
    ) -> Connection<'p> {
        let port = self.destination.port();
        if !self.by_address.is_empty() {
            return self
                .first_of(&self.by_address, seen, random, trace)
                .unwrap_or_else(|| self.fall_through(trace));
        }
        trace.step(What::Directory, Origin::mesh_default(), false, || {
            format!("no TCP or sniffed entry has the address {}", self.destination)
        });
        if seen.is_http() && self.plan.directory.is_http_port(port) {
            trace.step(What::Directory, Origin::mesh_default(), true, || {
                format!("port {port} is HTTP in this scope: by authority")
            });
            return Connection::Http(self.scope(Hosts::Port));
        }
        if let Seen::Tls { sni: Some(sni), .. } = seen
            && let Some(connection) = self.by_sni(sni, seen, random, trace)
        {
            return connection;
        }
        self.first_of(&self.open, seen, random, trace).unwrap_or_else(|| self.fall_through(trace))
    }

    fn by_sni<T: Trace>(
        &self,
        sni: &str,
        seen: Seen<'_>,
        random: u64,
        trace: &mut T,
    ) -> Option<Connection<'p>> {
        let entry = self.plan.directory.by_sni(sni, self.destination.port())?;
        trace.step(What::Directory, Origin::mesh_default(), true, || {
            format!("{} by the server name {sni}", entry.host)
        });
        self.enter(entry, seen, random, trace)
    }

    fn first_of<T: Trace>(
        &self,
        entries: &[&'p Arc<Entry>],
        seen: Seen<'_>,
        random: u64,
        trace: &mut T,
    ) -> Option<Connection<'p>> {
        entries.iter().find_map(|entry| {
            let named = self.name_fits(entry, seen);
            trace.step(What::Directory, Origin::mesh_default(), named, || {
                let how = match (self.by_address.is_empty(), self.by_block) {
                    (true, _) => "takes every address on its port",
                    (false, true) => "has the longest block around the address",
                    (false, false) => "has the address",
                };
                let but = if named { "" } else { ", but not the server name" };
                format!("{} {how}{but}", entry.host)
            });
            if named { self.enter(entry, seen, random, trace) } else { None }
        })
    }

    /// A declared TLS port of an entry that is only a block shares its addresses with others, so
    /// the server name must be the entry's.
    fn name_fits(&self, entry: &Entry, seen: Seen<'_>) -> bool {
        let by_name =
            self.by_block && entry.protocol(self.destination.port()) == Some(Protocol::Tls);
        if !by_name {
            return true;
        }
        let Seen::Tls { sni: Some(sni), .. } = seen else { return false };
        let sni = crate::authority::lower(sni);
        let own_rules = self.plan.routes(&entry.host).is_some_and(|table| !table.tls.is_empty());
        own_rules || host_matches(&entry.host, &sni)
    }

    /// What an entry does with the connection; `None`: it has no rule for it.
    fn enter<T: Trace>(
        &self,
        entry: &'p Arc<Entry>,
        seen: Seen<'_>,
        random: u64,
        trace: &mut T,
    ) -> Option<Connection<'p>> {
        let port = self.destination.port();
        if seen.is_http() && entry.protocol(port) == Some(Protocol::Auto) {
            return Some(Connection::Http(self.scope(Hosts::Entry(Arc::clone(&entry.host)))));
        }
        let Some(table) = self.plan.routes(&entry.host) else {
            return Some(Connection::Need(Need { host: &entry.host }));
        };
        self.relay(table, seen, random, trace)
    }

    fn relay<T: Trace>(
        &self,
        table: &'p Table,
        seen: Seen<'_>,
        random: u64,
        trace: &mut T,
    ) -> Option<Connection<'p>> {
        let port = self.destination.port();
        let by_name = match seen {
            Seen::Tls { sni, .. } => table.tls_rule(self.destination, port, sni),
            _ => None,
        };
        let Some(rule) = by_name.or_else(|| table.tcp_rule(self.destination, port)) else {
            trace.step(What::Route, &table.origin, false, || {
                format!("{} has no rule for {}", table.host, seen.describe())
            });
            return None;
        };
        trace.step(What::Route, &rule.origin, true, || seen.describe());
        let chosen =
            rule.backends.choose(self.plan, port, self.destination, random, &rule.origin, trace);
        Some(match chosen {
            Ok((backend, destination)) => Connection::Tcp(TcpForward {
                destination,
                rule: &rule.origin,
                backend: &backend.origin,
            }),
            Err(refusal) => Connection::Refuse(refusal),
        })
    }

    fn fall_through<T: Trace>(&self, trace: &mut T) -> Connection<'p> {
        let settings = self.plan.settings();
        let origin = settings.outbound_policy_origin();
        if !settings.allow_any() {
            trace.step(What::OutboundPolicy, origin, true, || {
                format!("REGISTRY_ONLY: nothing has {}", self.destination)
            });
            return Connection::Refuse(Refusal::new(Reason::NotInRegistry, origin));
        }
        if self.plan.is_own_address(self.destination) {
            trace.step(What::OutboundPolicy, origin, false, || {
                format!("{} is an address of this proxy itself", self.destination)
            });
            return Connection::Refuse(Refusal::new(Reason::PassthroughLoop, origin));
        }
        trace.step(What::OutboundPolicy, origin, true, || {
            format!("ALLOW_ANY: passed through to {}", self.destination)
        });
        Connection::Passthrough(origin)
    }

    fn scope(&self, hosts: Hosts) -> HttpScope {
        HttpScope { port: self.destination.port(), destination: self.destination, hosts }
    }
}
