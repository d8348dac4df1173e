//! Envoy's response flags.

use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// A set of Envoy's response flags, as `%RESPONSE_FLAGS%` and the label `response_flags` show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(u32);

/// The flags with their short names, in the order in which Envoy prints them.
const NAMES: [(Flags, &str); 30] = [
    // Envoy prints them as they come up, and this one comes before how the last attempt failed.
    (Flags::RETRY_LIMIT_EXCEEDED, "URX"),
    (Flags::FAILED_LOCAL_HEALTH_CHECK, "LH"),
    (Flags::NO_HEALTHY_UPSTREAM, "UH"),
    (Flags::UPSTREAM_TIMEOUT, "UT"),
    (Flags::LOCAL_RESET, "LR"),
    (Flags::UPSTREAM_RESET, "UR"),
    (Flags::UPSTREAM_CONNECTION_FAILURE, "UF"),
    (Flags::CONNECT_ATTEMPTS_EXCEEDED, "URX"),
    (Flags::UPSTREAM_CONNECTION_TERMINATION, "UC"),
    (Flags::UPSTREAM_OVERFLOW, "UO"),
    (Flags::NO_ROUTE, "NR"),
    (Flags::DELAY_INJECTED, "DI"),
    (Flags::FAULT_INJECTED, "FI"),
    (Flags::RATE_LIMITED, "RL"),
    (Flags::EXTERNAL_AUTHORIZATION, "UAEX"),
    (Flags::RATE_LIMIT_SERVICE_ERROR, "RLSE"),
    (Flags::DOWNSTREAM_CONNECTION_TERMINATION, "DC"),
    (Flags::STREAM_IDLE_TIMEOUT, "SI"),
    (Flags::INVALID_ENVOY_REQUEST_HEADERS, "IH"),
    (Flags::DOWNSTREAM_PROTOCOL_ERROR, "DPE"),
    (Flags::UPSTREAM_MAX_STREAM_DURATION_REACHED, "UMSDR"),
    (Flags::RESPONSE_FROM_CACHE, "RFCF"),
    (Flags::NO_FILTER_CONFIG, "NFCF"),
    (Flags::DURATION_TIMEOUT, "DT"),
    (Flags::UPSTREAM_PROTOCOL_ERROR, "UPE"),
    (Flags::NO_CLUSTER, "NC"),
    (Flags::OVERLOAD_MANAGER, "OM"),
    (Flags::DNS_FAILURE, "DF"),
    (Flags::DROP_OVERLOAD, "DO"),
    (Flags::DOWNSTREAM_RESET, "DR"),
];

impl Flags {
    /// No flag; prints as `-`.
    pub const NONE: Self = Self(0);
    /// `UH`: no healthy endpoint.
    pub const NO_HEALTHY_UPSTREAM: Self = Self(1);
    /// `UT`: the upstream did not answer in time.
    pub const UPSTREAM_TIMEOUT: Self = Self(1 << 1);
    /// `LR`: the proxy itself ended the exchange.
    pub const LOCAL_RESET: Self = Self(1 << 2);
    /// `UR`: the upstream reset the stream.
    pub const UPSTREAM_RESET: Self = Self(1 << 3);
    /// `UF`: no connection to the upstream.
    pub const UPSTREAM_CONNECTION_FAILURE: Self = Self(1 << 4);
    /// `UC`: the upstream closed the connection.
    pub const UPSTREAM_CONNECTION_TERMINATION: Self = Self(1 << 5);
    /// `UO`: a limit for the upstream is reached.
    pub const UPSTREAM_OVERFLOW: Self = Self(1 << 6);
    /// `NR`: no route, or nothing that accepts such a connection.
    pub const NO_ROUTE: Self = Self(1 << 7);
    /// `UAEX`: denied by external authorization.
    pub const EXTERNAL_AUTHORIZATION: Self = Self(1 << 8);
    /// `DC`: the client closed the connection.
    pub const DOWNSTREAM_CONNECTION_TERMINATION: Self = Self(1 << 9);
    /// `URX`: the last permitted attempt failed.
    pub const RETRY_LIMIT_EXCEEDED: Self = Self(1 << 10);
    /// `URX` of a connection: Envoy's TCP proxy finds it behind how the last attempt failed.
    pub const CONNECT_ATTEMPTS_EXCEEDED: Self = Self(1 << 29);
    /// `DPE`: the client broke the protocol.
    pub const DOWNSTREAM_PROTOCOL_ERROR: Self = Self(1 << 11);
    /// `UPE`: the upstream broke the protocol.
    pub const UPSTREAM_PROTOCOL_ERROR: Self = Self(1 << 12);
    /// `NC`: the destination is not there.
    pub const NO_CLUSTER: Self = Self(1 << 13);
    /// `DR`: the client reset the stream.
    pub const DOWNSTREAM_RESET: Self = Self(1 << 14);
    /// `LH`: the health check of this very proxy failed. This and those below are Envoy's alone.
    pub const FAILED_LOCAL_HEALTH_CHECK: Self = Self(1 << 15);
    /// `DI`: a delay was injected.
    pub const DELAY_INJECTED: Self = Self(1 << 16);
    /// `FI`: a fault was injected.
    pub const FAULT_INJECTED: Self = Self(1 << 17);
    /// `RL`: over a rate limit.
    pub const RATE_LIMITED: Self = Self(1 << 18);
    /// `RLSE`: the service that counts for rate limits failed.
    pub const RATE_LIMIT_SERVICE_ERROR: Self = Self(1 << 19);
    /// `SI`: the stream was idle for too long.
    pub const STREAM_IDLE_TIMEOUT: Self = Self(1 << 20);
    /// `IH`: a header of Envoy's own had an invalid value.
    pub const INVALID_ENVOY_REQUEST_HEADERS: Self = Self(1 << 21);
    /// `UMSDR`: the upstream took longer than a stream may last.
    pub const UPSTREAM_MAX_STREAM_DURATION_REACHED: Self = Self(1 << 22);
    /// `RFCF`: answered from a cache.
    pub const RESPONSE_FROM_CACHE: Self = Self(1 << 23);
    /// `NFCF`: the configuration of a filter had not arrived.
    pub const NO_FILTER_CONFIG: Self = Self(1 << 24);
    /// `DT`: the connection lasted longer than it may.
    pub const DURATION_TIMEOUT: Self = Self(1 << 25);
    /// `OM`: shed under overload.
    pub const OVERLOAD_MANAGER: Self = Self(1 << 26);
    /// `DF`: a name was not resolved.
    pub const DNS_FAILURE: Self = Self(1 << 27);
    /// `DO`: dropped, as the control plane asked for.
    pub const DROP_OVERLOAD: Self = Self(1 << 28);

    /// Whether every flag of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether no flag is set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The set as a number: stable within one run of the proxy only.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The set that [`Flags::bits`] gave.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Both sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

impl BitOrAssign for Flags {
    fn bitor_assign(&mut self, other: Self) {
        *self = self.union(other);
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("-");
        }
        let set = NAMES.iter().filter(|(flag, _)| self.contains(*flag));
        for (index, (_, name)) in set.enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            f.write_str(name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_print_in_envoys_order() {
        let table = [
            (Flags::NONE, "-"),
            (Flags::NO_ROUTE, "NR"),
            (Flags::RETRY_LIMIT_EXCEEDED | Flags::UPSTREAM_CONNECTION_FAILURE, "URX,UF"),
            (Flags::DOWNSTREAM_RESET | Flags::NO_HEALTHY_UPSTREAM, "UH,DR"),
        ];
        for (flags, text) in table {
            assert_eq!(flags.to_string(), text);
            assert_eq!(Flags::from_bits(flags.bits()), flags);
        }
    }

    #[test]
    fn every_flag_has_a_bit_of_its_own() {
        let all = NAMES.iter().fold(Flags::NONE, |all, (flag, _)| all | *flag);
        assert_eq!(all.bits().count_ones() as usize, NAMES.len());
    }
}
