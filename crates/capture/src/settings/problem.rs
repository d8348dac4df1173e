//! What can be wrong with settings, and what is worth saying of right ones.

use std::fmt;

/// A value that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {value:?} {fault}")]
pub struct Problem {
    /// Where the value stands, in the words of its source: a flag, a variable, an annotation.
    pub origin: String,
    /// What stands there, or the part of it that is wrong.
    pub value: String,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not a port.
    #[error("is no port: a number from 1 to 65535 is expected")]
    Port,
    /// Not a list of ports, where `*` is none.
    #[error("is not possible here: list the ports")]
    EveryPort,
    /// Not a number.
    #[error("is no number from 0 to 4294967295")]
    Number,
    /// Not a mark.
    #[error("is no mark: a number from 1 to 4294967295 but {reserved} is expected")]
    Mark {
        /// The mark that has another meaning.
        reserved: u32,
    },
    /// Not a routing table.
    #[error("is no routing table of one's own: a number from 1 to 252, or from 256, is expected")]
    RouteTable,
    /// Not a range of addresses.
    #[error("is no range of addresses such as 10.0.0.0/8 or 2001:db8::/32")]
    Range,
    /// `*` among exclusions.
    #[error("would exclude every address; to capture nothing, include none")]
    EveryRange,
    /// Not an address of this family.
    #[error("is no IPv{family} address")]
    Address {
        /// 4 or 6.
        family: u8,
    },
    /// Not an interface.
    #[error("is no name of a network interface")]
    Interface,
    /// Not a group.
    #[error("is neither the number nor the name of a group")]
    Group,
    /// A group that the machine does not have.
    #[error("is no group of this machine")]
    UnknownGroup,
    /// More groups than a rule can hold.
    #[error("names {count} groups; one rule holds {most} at most")]
    ManyGroups {
        /// How many there are.
        count: usize,
        /// How many there may be.
        most: usize,
    },
    /// Neither REDIRECT nor TPROXY.
    #[error("is no interception mode: REDIRECT or TPROXY is expected")]
    Mode,
    /// Neither true nor false.
    #[error("is neither true nor false")]
    Switch,
    /// Not a range of IPv4 loopback addresses.
    #[error("is no range of IPv4 loopback addresses with a length from 8 to 32")]
    Loopback,
}

/// All that is wrong, so that it can be mended at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("; ")?;
            }
            problem.fmt(formatter)?;
        }
        Ok(())
    }
}

/// What settings do not do although somebody wrote it, or do otherwise than it seems.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Notice {
    /// No such setting.
    #[error("{origin}: there is no such setting of the capture")]
    Unknown {
        /// Where it stands.
        origin: String,
    },
    /// One of Istio's that is not honoured.
    #[error("{origin}: not honoured: {why}")]
    Unsupported {
        /// Where it stands.
        origin: String,
        /// Why.
        why: &'static str,
    },
    /// Another setting takes its effect away.
    #[error("{origin}: without effect: {why}")]
    WithoutEffect {
        /// Where it stands.
        origin: String,
        /// Why.
        why: &'static str,
    },
    /// A value that says nothing; the default holds.
    #[error("{origin}: {value:?} is neither true nor false; it counts as false")]
    NoSwitch {
        /// Where it stands.
        origin: String,
        /// What stands there.
        value: String,
    },
    /// An older name of something.
    #[error("{origin}: an older name; write {instead}")]
    Deprecated {
        /// Where it stands.
        origin: String,
        /// The name of today.
        instead: &'static str,
    },
}
