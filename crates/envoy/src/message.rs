//! Small conversions into Envoy's messages.

use envoy_types::pb::envoy::config::core::v3::{
    Address, CidrRange, ConfigSource, SocketAddress, address, config_source, socket_address,
};
use envoy_types::pb::envoy::config::core::v3::{AggregatedConfigSource, ApiVersion};
use envoy_types::pb::envoy::config::listener::v3::{AdditionalAddress, Listener};
use envoy_types::pb::google::protobuf::{Any, Duration, UInt32Value};
use lateen_mesh::address::Block;
use prost::{Message, Name};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Placement;

/// A message as `Any`.
pub(crate) fn any<M: Message + Name>(message: &M) -> Any {
    Any { type_url: M::type_url(), value: message.encode_to_vec() }
}

/// Milliseconds as a duration.
pub(crate) fn millis(millis: u64) -> Duration {
    let nanos = i32::try_from(millis % 1000).unwrap_or_default() * 1_000_000;
    Duration { seconds: i64::try_from(millis / 1000).unwrap_or(i64::MAX), nanos }
}

/// A wrapped number.
pub(crate) fn uint32(value: u32) -> UInt32Value {
    UInt32Value { value }
}

/// An address with a port.
pub(crate) fn socket_address(address: IpAddr, port: u16) -> Address {
    Address {
        address: Some(address::Address::SocketAddress(SocketAddress {
            address: address.to_string(),
            port_specifier: Some(socket_address::PortSpecifier::PortValue(port.into())),
            ..SocketAddress::default()
        })),
    }
}

/// Sets where a listener is that is at every address of its proxy (Istio's dual stack: the socket of IPv4
/// gives it its name, IPv6 has one of its own).
pub(crate) fn put_everywhere(listener: &mut Listener, placement: Placement, port: u16) {
    listener.address = Some(socket_address(Ipv4Addr::UNSPECIFIED.into(), port));
    if placement.ipv6 {
        listener.additional_addresses = vec![AdditionalAddress {
            address: Some(socket_address(Ipv6Addr::UNSPECIFIED.into(), port)),
            ..AdditionalAddress::default()
        }];
    }
}

/// A block of addresses.
pub(crate) fn cidr(block: &Block) -> CidrRange {
    CidrRange {
        address_prefix: block.address.to_string(),
        prefix_len: Some(uint32(block.prefix.into())),
    }
}

/// What comes over the aggregated stream; Envoy waits so long for it before it goes on without
/// (`None`: for ever).
pub(crate) fn ads(initial_fetch_timeout: Option<u64>) -> ConfigSource {
    ConfigSource {
        resource_api_version: ApiVersion::V3.into(),
        initial_fetch_timeout: Some(millis(initial_fetch_timeout.unwrap_or(0))),
        config_source_specifier: Some(config_source::ConfigSourceSpecifier::Ads(
            AggregatedConfigSource {},
        )),
        ..ConfigSource::default()
    }
}

/// A name, or an address, with a port.
pub(crate) fn socket_address_of_name(host: &str, port: u16) -> Address {
    Address {
        address: Some(address::Address::SocketAddress(SocketAddress {
            address: host.to_owned(),
            port_specifier: Some(socket_address::PortSpecifier::PortValue(port.into())),
            ..SocketAddress::default()
        })),
    }
}
