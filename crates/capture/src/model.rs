//! Tables, chains and rules, as both packet filters know them.
//!
//! A rule is written once, with its matches in the order in which iptables is told them; nftables
//! takes the same rules in an order of its own ([`crate::nftables`]).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::settings::{Group, Interface};

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both, in the order in which they are rendered.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];
}

/// A table of the packet filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// Marks packets before routing.
    Mangle,
    /// Redirects connections.
    Nat,
    /// Sees packets before connection tracking.
    Raw,
}

impl Table {
    /// All of them, in iptables' order: by name.
    pub const ALL: [Self; 3] = [Self::Mangle, Self::Nat, Self::Raw];

    /// The name of iptables' table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mangle => "mangle",
            Self::Nat => "nat",
            Self::Raw => "raw",
        }
    }
}

/// A chain of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Chain {
    /// The kernel's: packets that arrive.
    Prerouting,
    /// The kernel's: packets that local processes send.
    Output,
    /// What arrives for the workload.
    IstioInbound,
    /// To the proxy's outbound port.
    IstioRedirect,
    /// To the proxy's inbound port.
    IstioInRedirect,
    /// What the workload sends.
    IstioOutput,
    /// What the workload asks name servers.
    IstioOutputDns,
    /// Marks packets of connections that the proxy has already.
    IstioDivert,
    /// To the proxy's inbound port, with the packet as it is.
    IstioTproxy,
    /// Packets that belong to no connection.
    IstioDrop,
}

impl Chain {
    /// The chain's name in iptables.
    #[must_use]
    pub fn iptables(self) -> &'static str {
        match self {
            Self::Prerouting => "PREROUTING",
            Self::Output => "OUTPUT",
            Self::IstioInbound => "ISTIO_INBOUND",
            Self::IstioRedirect => "ISTIO_REDIRECT",
            Self::IstioInRedirect => "ISTIO_IN_REDIRECT",
            Self::IstioOutput => "ISTIO_OUTPUT",
            Self::IstioOutputDns => "ISTIO_OUTPUT_DNS",
            Self::IstioDivert => "ISTIO_DIVERT",
            Self::IstioTproxy => "ISTIO_TPROXY",
            Self::IstioDrop => "ISTIO_DROP",
        }
    }

    /// The chain's name in nftables.
    #[must_use]
    pub fn nftables(self) -> &'static str {
        match self {
            Self::Prerouting => "prerouting",
            Self::Output => "output",
            Self::IstioInbound => "istio-inbound",
            Self::IstioRedirect => "istio-redirect",
            Self::IstioInRedirect => "istio-in-redirect",
            Self::IstioOutput => "istio-output",
            Self::IstioOutputDns => "istio-output-dns",
            Self::IstioDivert => "istio-divert",
            Self::IstioTproxy => "istio-tproxy",
            Self::IstioDrop => "istio-drop",
        }
    }

    /// Whether iptables' tables have it from the start, and others may have rules in it.
    #[must_use]
    pub fn is_built_in(self) -> bool {
        matches!(self, Self::Prerouting | Self::Output)
    }
}

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// Which packets: all that is said of them must be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// Of this protocol.
    Protocol(Protocol),
    /// Arriving by this interface.
    In(Interface),
    /// Leaving by this interface.
    Out(Interface),
    /// From this range.
    Source(Is, IpNet),
    /// To this range.
    Destination(Is, IpNet),
    /// Of this protocol, from this port.
    SourcePort(Protocol, u16),
    /// Of this protocol, to one of these ports.
    DestinationPort(Protocol, Is, Vec<u16>),
    /// Sent by a process of this user.
    User(Is, u32),
    /// Sent by a process of this group.
    Group(Is, Group),
    /// With this mark.
    Mark(Is, u32),
    /// Of a connection with this mark.
    ConnectionMark(u32),
    /// Of a known connection, or belonging to one.
    Established,
    /// Of no connection that could be. nftables looks at TCP only.
    Invalid,
}

/// Whether a match is for or against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Is {
    /// What is said.
    So,
    /// Anything else.
    Not,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Back to the chain that it came from.
    Return,
    /// Through this table.
    Accept,
    /// Nothing.
    Drop,
    /// On to another chain.
    Jump(Chain),
    /// To this port of the machine itself.
    Redirect(u16),
    /// To the socket that listens on `port`, marked so that routing keeps it here.
    Tproxy {
        /// The port.
        port: u16,
        /// The mark.
        mark: u32,
    },
    /// Marked.
    SetMark(u32),
    /// Its mark becomes its connection's.
    SaveMark,
    /// Its connection's mark becomes its own.
    RestoreMark,
    /// Tracked apart, in this zone.
    Zone(u16),
}

/// Where in its chain a rule comes to stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// After what is there.
    End,
    /// With this number of rules before it.
    After(usize),
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its table.
    pub table: Table,
    /// Its chain.
    pub chain: Chain,
    /// Its place in the chain.
    pub at: At,
    /// The families that have it; one address of a match is of one family only.
    pub families: Vec<Family>,
    /// Which packets, in iptables' order.
    pub matches: Vec<Match>,
    /// What becomes of them.
    pub verdict: Verdict,
}

impl Rule {
    /// Whether the rule is one of this family.
    #[must_use]
    pub fn is_of(&self, family: Family) -> bool {
        self.families.contains(&family)
    }

    /// The protocol that its matches ask for.
    #[must_use]
    pub fn protocol(&self) -> Option<Protocol> {
        self.matches.iter().find_map(|matched| match matched {
            Match::Protocol(protocol)
            | Match::SourcePort(protocol, _)
            | Match::DestinationPort(protocol, ..) => Some(*protocol),
            _ => None,
        })
    }
}

/// A range as both packet filters and the C library write it: an IPv6 address with nothing but an
/// IPv4 one in it shows that. Host bits stay as they were written.
#[must_use]
pub fn range(range: &IpNet) -> String {
    format!("{}/{}", address(range.addr()), range.prefix_len())
}

fn address(address: IpAddr) -> String {
    match address {
        IpAddr::V6(v6) if v6.segments()[..6] == [0; 6] && v6.segments()[6] != 0 => {
            format!("::{}", Ipv4Addr::from_bits(low_bits(v6)))
        }
        other => other.to_string(),
    }
}

fn low_bits(address: Ipv6Addr) -> u32 {
    let [.., a, b, c, d] = address.octets();
    u32::from_be_bytes([a, b, c, d])
}
