//! What stands beside the packet filter: an address, policy rules, routes.
//!
//! In TPROXY mode marked packets are routed to this machine whatever their destination is: by a
//! policy rule that sends them to a routing table where everything is local. In IPv6 the address from
//! which the proxy dials its application has to be given to the loopback interface first.

use std::fmt;

use crate::model::Family;
use crate::rules::PASSTHROUGH_V6;
use crate::settings::Settings;

/// One thing that is to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// The proxy's own IPv6 address of the loopback interface.
    Address,
    /// Packets with this mark are routed by this table.
    Rule {
        /// Whose packets.
        family: Family,
        /// The mark.
        mark: u32,
        /// The routing table.
        table: u32,
    },
    /// Everything is local in this table.
    Route {
        /// Whose packets.
        family: Family,
        /// The routing table.
        table: u32,
    },
}

/// Arguments of `ip` that stand for an entry where it is printed; the kernel is asked by
/// [`crate::netlink`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command(pub Vec<String>);

impl fmt::Display for Command {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ip {}", self.0.join(" "))
    }
}

/// What the settings need.
#[must_use]
pub fn entries(settings: &Settings) -> Vec<Entry> {
    let families: &[Family] = if settings.ipv6 { &Family::BOTH } else { &[Family::V4] };
    let mut entries = Vec::new();
    if settings.ipv6 {
        entries.push(Entry::Address);
    }
    if settings.routes_marked_packets() {
        let (mark, table) = (settings.tproxy_mark, settings.tproxy_route_table);
        // The table first: until it has its route, marked packets would find no way.
        entries.extend(families.iter().map(|family| Entry::Route { family: *family, table }));
        entries.extend(families.iter().map(|family| Entry::Rule { family: *family, mark, table }));
    }
    entries
}

impl Entry {
    /// Makes it.
    #[must_use]
    pub fn add(self) -> Command {
        self.command("add")
    }

    /// Takes it away.
    #[must_use]
    pub fn remove(self) -> Command {
        self.command("del")
    }

    fn command(self, verb: &str) -> Command {
        match self {
            Self::Address => {
                command(Family::V6, ["addr", verb, &format!("{PASSTHROUGH_V6}/128"), "dev", "lo"])
            }
            Self::Rule { family, mark, table } => {
                let (mark, table) = (mark.to_string(), table.to_string());
                command(family, ["rule", verb, "fwmark", &mark, "lookup", &table])
            }
            Self::Route { family, table } => {
                let table = table.to_string();
                command(family, ["route", verb, "local", "default", "dev", "lo", "table", &table])
            }
        }
    }
}

fn command<const N: usize>(family: Family, words: [&str; N]) -> Command {
    let version = (family == Family::V6).then_some("-6");
    Command(version.into_iter().chain(words).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{InboundPorts, Mode};

    fn transparent() -> Settings {
        Settings {
            mode: Mode::Tproxy,
            inbound_ports: InboundPorts::All { except: Vec::new() },
            ..Settings::default()
        }
    }

    #[test]
    fn only_what_the_mode_and_the_families_need() {
        let commands = |settings: &Settings| -> Vec<String> {
            entries(settings).into_iter().map(|entry| entry.add().to_string()).collect()
        };
        assert_eq!(commands(&Settings::default()), [""; 0]);
        let ipv6 = Settings { ipv6: true, ..Settings::default() };
        assert_eq!(commands(&ipv6), ["ip -6 addr add ::6/128 dev lo"]);
        let uncaptured = Settings { mode: Mode::Tproxy, ..Settings::default() };
        assert_eq!(commands(&uncaptured), [""; 0]);
        assert_eq!(
            commands(&Settings { ipv6: true, ..transparent() }),
            [
                "ip -6 addr add ::6/128 dev lo",
                "ip route add local default dev lo table 133",
                "ip -6 route add local default dev lo table 133",
                "ip rule add fwmark 1337 lookup 133",
                "ip -6 rule add fwmark 1337 lookup 133",
            ]
        );
    }
}
