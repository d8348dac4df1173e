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

/// Arguments of `ip`.
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

    /// Prints what is there of its kind.
    #[must_use]
    pub fn show(self) -> Command {
        match self {
            Self::Address => command(Family::V6, ["addr", "show", "dev", "lo"]),
            Self::Rule { family, .. } => command(family, ["rule", "show"]),
            Self::Route { family, .. } => command(family, ["route", "show", "table", "all"]),
        }
    }

    /// Whether what [`Entry::show`] printed has it.
    #[must_use]
    pub fn is_in(self, shown: &str) -> bool {
        shown.lines().any(|line| match self {
            Self::Address => follows(line, "inet6", &format!("{PASSTHROUGH_V6}/128")),
            Self::Rule { mark, table, .. } => {
                follows(line, "from", "all")
                    && (follows(line, "fwmark", &format!("{mark:#x}"))
                        || follows(line, "fwmark", &mark.to_string()))
                    && follows(line, "lookup", &table.to_string())
            }
            Self::Route { table, .. } => {
                let everything = ["local default", "local 0.0.0.0/0", "local ::/0"];
                everything.iter().any(|start| line.trim_start().starts_with(start))
                    && follows(line, "dev", "lo")
                    && follows(line, "table", &table.to_string())
            }
        })
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

/// Whether one word of a line comes directly after another.
fn follows(line: &str, word: &str, next: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.windows(2).any(|pair| pair == [word, next])
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

    #[test]
    fn an_entry_is_found_in_what_ip_prints() {
        let rules = "0:\tfrom all lookup local\n32765:\tfrom all fwmark 0x539 lookup 133\n";
        let routes =
            "local default dev lo table 133 scope host \nlocal 10.0.0.1 dev eth0 table local\n";
        let (family, table) = (Family::V4, 133);
        assert!(Entry::Rule { family, mark: 1337, table }.is_in(rules));
        assert!(!Entry::Rule { family, mark: 1338, table }.is_in(rules));
        assert!(!Entry::Rule { family, mark: 1337, table: 13 }.is_in(rules));
        assert!(Entry::Route { family, table }.is_in(routes));
        assert!(!Entry::Route { family, table: 134 }.is_in(routes));
        assert!(Entry::Address.is_in("    inet6 ::6/128 scope global \n"));
        assert!(!Entry::Address.is_in("    inet6 ::1/128 scope host \n"));
    }
}
