//! Addresses and CIDRs in the compact form of the messages.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::Bytes;

/// An address, or a block of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Block {
    /// First address of the block (host bits as they were written).
    pub address: IpAddr,
    /// Length of the prefix; the full width for a single address.
    pub prefix: u8,
}

impl Block {
    /// A single address.
    #[must_use]
    pub const fn single(address: IpAddr) -> Self {
        Self { address, prefix: full_width(address) }
    }

    /// Whether this is one address and no more.
    #[must_use]
    pub const fn is_single(&self) -> bool {
        self.prefix == full_width(self.address)
    }

    /// Whether `address` lies in the block. Addresses of the other family never do.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(block), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                u32::from(block) & mask == u32::from(address) & mask
            }
            (IpAddr::V6(block), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                u128::from(block) & mask == u128::from(address) & mask
            }
            _ => false,
        }
    }

    /// 4 or 16 bytes for an address, one more (the prefix length) for a real block.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = encode_address(self.address).to_vec();
        if !self.is_single() {
            out.push(self.prefix);
        }
        out.into()
    }

    /// Reads what [`Block::encode`] wrote; `None` for any other length or an impossible prefix.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes.len() {
            4 | 16 => decode_address(bytes).map(Self::single),
            5 | 17 => {
                let (prefix, address) = bytes.split_last()?;
                let address = decode_address(address)?;
                (*prefix <= full_width(address)).then_some(Self { address, prefix: *prefix })
            }
            _ => None,
        }
    }
}

const fn full_width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// 4 or 16 bytes in network order.
#[must_use]
pub fn encode_address(address: IpAddr) -> Bytes {
    match address {
        IpAddr::V4(address) => Bytes::copy_from_slice(&address.octets()),
        IpAddr::V6(address) => Bytes::copy_from_slice(&address.octets()),
    }
}

/// Reads 4 or 16 bytes; `None` for any other length.
#[must_use]
pub fn decode_address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(octets).into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|octets| Ipv6Addr::from(octets).into())
}

/// A port of a directory entry in its packed form: `number << 4 | protocol`.
#[must_use]
pub const fn pack_port(number: u16, protocol: crate::v1::Protocol) -> u32 {
    ((number as u32) << 4) | (protocol as u32 & 0xf)
}

/// Reads what [`pack_port`] wrote; a protocol that is not known counts as detected.
#[must_use]
pub fn unpack_port(packed: u32) -> Option<(u16, crate::v1::Protocol)> {
    let number = u16::try_from(packed >> 4).ok()?;
    let protocol = i32::try_from(packed & 0xf)
        .ok()
        .and_then(|value| crate::v1::Protocol::try_from(value).ok())
        .unwrap_or(crate::v1::Protocol::Auto);
    Some((number, protocol))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_survive_encoding_and_contain_what_they_should() {
        for (text, prefix, inside, outside) in [
            ("10.1.0.0", 16, "10.1.255.7", "10.2.0.0"),
            ("10.1.2.3", 32, "10.1.2.3", "10.1.2.4"),
            ("0.0.0.0", 0, "255.1.2.3", "::1"),
            ("2001:db8::", 32, "2001:db8:1::9", "2001:db9::"),
            ("::", 0, "::1", "1.1.1.1"),
        ] {
            let block = Block { address: text.parse().unwrap(), prefix };
            assert_eq!(Block::decode(&block.encode()), Some(block));
            assert!(block.contains(inside.parse().unwrap()), "{text}/{prefix} {inside}");
            assert!(!block.contains(outside.parse().unwrap()), "{text}/{prefix} {outside}");
        }
        assert_eq!(Block::decode(&[1, 2, 3, 4, 33]), None);
        assert_eq!(Block::decode(&[1, 2, 3]), None);
    }

    #[test]
    fn ports_survive_packing() {
        let packed = pack_port(65535, crate::v1::Protocol::GrpcWeb);
        assert_eq!(unpack_port(packed), Some((65535, crate::v1::Protocol::GrpcWeb)));
        assert_eq!(unpack_port(80 << 4 | 15), Some((80, crate::v1::Protocol::Auto)));
        assert_eq!(unpack_port(u32::MAX), None);
    }
}
