//! What is to be captured, typed.
//!
//! [`Written`] holds what a user wrote under Istio's names ([`Key`]), from whatever source;
//! [`Written::read`] makes [`Settings`] of it, or says everything that is wrong in it.

mod key;
mod problem;
mod read;
mod value;

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

pub use key::{Key, UNSUPPORTED};
pub use problem::{Fault, Notice, Problem, Problems};
pub use read::{Outcome, Written};
pub use value::switch;

/// The proxy's port for what the workload sends.
pub const OUTBOUND_PORT: u16 = 15001;
/// The proxy's port for what arrives.
pub const INBOUND_PORT: u16 = 15006;
/// The port of HBONE, which is never redirected.
pub const TUNNEL_PORT: u16 = 15008;
/// The port of the agent's name server.
pub const DNS_PORT: u16 = 15053;
/// User and group of the proxy, whose traffic is not captured.
pub const PROXY_ID: u32 = 1337;
/// The mark of packets that the proxy takes in TPROXY mode.
pub const TPROXY_MARK: u32 = 1337;
/// The mark of packets from the proxy to its own workload in TPROXY mode.
pub const TPROXY_OUTBOUND_MARK: u32 = 1338;
/// The routing table of TPROXY mode.
pub const TPROXY_ROUTE_TABLE: u32 = 133;

/// How inbound connections come to the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// By address translation; the proxy sees the original destination, the application the proxy's
    /// address.
    #[default]
    Redirect,
    /// With the packets as they are, so that the application sees its client's address.
    Tproxy,
}

/// Ports whose inbound traffic is captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InboundPorts {
    /// Every port but these.
    All {
        /// The exceptions.
        except: Vec<u16>,
    },
    /// These; none captures nothing.
    Only(Vec<u16>),
}

/// Destinations whose outbound traffic is captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranges {
    /// Every address.
    All,
    /// These; none captures nothing.
    Only(Vec<IpNet>),
}

impl Ranges {
    /// Whether a loopback address is named. Then traffic on the loopback interface is captured, too.
    #[must_use]
    pub fn name_loopback(&self) -> bool {
        match self {
            Self::All => false,
            Self::Only(ranges) => ranges.iter().any(|range| range.addr().is_loopback()),
        }
    }
}

/// Groups whose outbound traffic is captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnerGroups {
    /// Every group but these.
    All {
        /// The exceptions.
        except: Vec<Group>,
    },
    /// These; none captures nothing.
    Only(Vec<Group>),
}

/// A group of the system.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// By its number.
    Id(u32),
    /// By its name, which the packet filter's program looks up.
    Name(String),
}

impl fmt::Display for Group {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(formatter),
            Self::Name(name) => formatter.write_str(name),
        }
    }
}

/// The name of a network interface; a `+` at its end stands for any continuation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Interface(String);

impl Interface {
    /// The loopback interface.
    #[must_use]
    pub fn loopback() -> Self {
        Self("lo".to_owned())
    }

    /// The name, as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which questions to name servers go to the agent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Dns {
    /// None.
    #[default]
    Uncaptured,
    /// Those to these servers (in `/etc/resolv.conf` for the most part), at port 53.
    Servers {
        /// Servers with an IPv4 address.
        v4: Vec<Ipv4Addr>,
        /// Servers with an IPv6 address.
        v6: Vec<Ipv6Addr>,
    },
    /// All of them, to port 53 wherever it is.
    All,
}

/// What is to be captured. The default captures nothing, as Istio's tool does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The proxy's port for what the workload sends.
    pub outbound_port: u16,
    /// The proxy's port for what arrives.
    pub inbound_port: u16,
    /// The port that is never redirected: HBONE.
    pub tunnel_port: u16,
    /// Users whose traffic is the proxy's own.
    pub proxy_users: Vec<u32>,
    /// Groups whose traffic is the proxy's own.
    pub proxy_groups: Vec<u32>,
    /// How inbound connections come to the proxy.
    pub mode: Mode,
    /// The mark of packets that the proxy takes in TPROXY mode.
    pub tproxy_mark: u32,
    /// The routing table of TPROXY mode.
    pub tproxy_route_table: u32,
    /// What arrives and is captured.
    pub inbound_ports: InboundPorts,
    /// Ports whose outbound traffic is captured whatever its address is.
    pub outbound_ports: Vec<u16>,
    /// Ports whose outbound traffic is not captured whatever its address is.
    pub outbound_ports_excluded: Vec<u16>,
    /// Addresses to which outbound traffic is captured.
    pub outbound_ranges: Ranges,
    /// Addresses to which it is not.
    pub outbound_ranges_excluded: Vec<IpNet>,
    /// Groups whose outbound traffic is captured.
    pub owner_groups: OwnerGroups,
    /// Which questions to name servers go to the agent.
    pub dns: Dns,
    /// Interfaces whose traffic is not captured.
    pub interfaces_excluded: Vec<Interface>,
    /// Interfaces of virtual machines in the pod: what comes in by them counts as outbound.
    pub interfaces_rerouted: Vec<Interface>,
    /// Whether packets of no possible connection are dropped instead of answered with a reset.
    pub drop_invalid: bool,
    /// Whether IPv6 is captured, too.
    pub ipv6: bool,
    /// The IPv4 addresses at which containers of the pod talk to each other past the proxy.
    pub loopback: Ipv4Net,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            outbound_port: OUTBOUND_PORT,
            inbound_port: INBOUND_PORT,
            tunnel_port: TUNNEL_PORT,
            proxy_users: vec![PROXY_ID],
            proxy_groups: vec![PROXY_ID],
            mode: Mode::Redirect,
            tproxy_mark: TPROXY_MARK,
            tproxy_route_table: TPROXY_ROUTE_TABLE,
            inbound_ports: InboundPorts::Only(Vec::new()),
            outbound_ports: Vec::new(),
            outbound_ports_excluded: Vec::new(),
            outbound_ranges: Ranges::Only(Vec::new()),
            outbound_ranges_excluded: Vec::new(),
            owner_groups: OwnerGroups::All { except: Vec::new() },
            dns: Dns::Uncaptured,
            interfaces_excluded: Vec::new(),
            interfaces_rerouted: Vec::new(),
            drop_invalid: false,
            ipv6: false,
            loopback: Ipv4Net::from(Ipv4Addr::LOCALHOST),
        }
    }
}

impl Settings {
    /// Whether inbound packets reach the proxy as they are, which needs routes of its own.
    #[must_use]
    pub fn routes_marked_packets(&self) -> bool {
        let nothing = matches!(&self.inbound_ports, InboundPorts::Only(ports) if ports.is_empty());
        self.mode == Mode::Tproxy && !nothing
    }

    /// Names of groups replaced by their numbers, as `look_up` gives them; the packet filter knows
    /// numbers only, and what it prints can be compared then.
    ///
    /// # Errors
    /// The names that `look_up` does not know.
    pub fn with_group_numbers(
        mut self,
        look_up: impl Fn(&str) -> Option<u32>,
    ) -> Result<Self, Problems> {
        let (OwnerGroups::All { except: groups } | OwnerGroups::Only(groups)) =
            &mut self.owner_groups;
        let mut unknown = Vec::new();
        for group in groups {
            let Group::Name(name) = &*group else { continue };
            match look_up(name) {
                Some(id) => *group = Group::Id(id),
                None => unknown.push(Problem {
                    origin: Key::OwnerGroupsInclude.name().to_owned(),
                    value: name.clone(),
                    fault: Fault::UnknownGroup,
                }),
            }
        }
        if unknown.is_empty() { Ok(self) } else { Err(Problems(unknown)) }
    }
}
