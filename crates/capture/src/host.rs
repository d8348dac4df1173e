//! What the files of a machine, or of a network namespace, say.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The name servers of a `resolv.conf`, by family, in order. What follows a `%` names an interface
/// and is no part of the address.
#[must_use]
pub fn name_servers(resolv_conf: &str) -> (Vec<Ipv4Addr>, Vec<Ipv6Addr>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for line in resolv_conf.lines() {
        let mut words = line.split_whitespace();
        if words.next() != Some("nameserver") {
            continue;
        }
        let Some(word) = words.next() else { continue };
        let address = word.split('%').next().unwrap_or(word);
        match address.parse() {
            Ok(IpAddr::V4(address)) => v4.push(address),
            Ok(IpAddr::V6(address)) => v6.push(address),
            // The resolver itself passes over what is no address.
            Err(_) => {}
        }
    }
    (v4, v6)
}

/// Whether `/proc/net/fib_trie` has an address of this machine's own, but for loopback and
/// link-local ones.
#[must_use]
pub fn has_ipv4_address(fib_trie: &str) -> bool {
    let mut address: Option<Ipv4Addr> = None;
    for line in fib_trie.lines().map(str::trim) {
        if let Some(leaf) = line.strip_prefix("|-- ") {
            address = leaf.parse().ok();
        } else if line == "/32 host LOCAL"
            && address.is_some_and(|address| !address.is_loopback() && !address.is_link_local())
        {
            return true;
        }
    }
    false
}

/// Whether `/proc/net/if_inet6` has an address of this machine's own, but for loopback and
/// link-local ones, and for the one that the capture itself adds to the loopback interface.
#[must_use]
pub fn has_ipv6_address(if_inet6: &str) -> bool {
    if_inet6.lines().any(|line| {
        let mut words = line.split_whitespace();
        let address = words.next().and_then(|digits| u128::from_str_radix(digits, 16).ok());
        let on_loopback = words.last() == Some("lo");
        address.map(Ipv6Addr::from_bits).is_some_and(|address| {
            !on_loopback && !address.is_loopback() && !address.is_unicast_link_local()
        })
    })
}

/// Whether these files (`/proc/net/fib_trie`, `/proc/net/if_inet6`) have this address as one of the
/// machine's own.
#[must_use]
pub fn has_address(fib_trie: &str, if_inet6: &str, wanted: IpAddr) -> bool {
    match wanted {
        IpAddr::V4(wanted) => {
            let lines: Vec<&str> = fib_trie.lines().map(str::trim).collect();
            lines.windows(2).any(|pair| {
                let leaf = pair[0].strip_prefix("|-- ").and_then(|leaf| leaf.parse().ok());
                leaf == Some(wanted) && pair[1] == "/32 host LOCAL"
            })
        }
        IpAddr::V6(wanted) => if_inet6.lines().any(|line| {
            let digits = line.split_whitespace().next();
            digits.and_then(|digits| u128::from_str_radix(digits, 16).ok())
                == Some(wanted.to_bits())
        }),
    }
}

/// The number of a group in `/etc/group`.
#[must_use]
pub fn group_number(etc_group: &str, name: &str) -> Option<u32> {
    etc_group.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_read_by_family() {
        let text = "search a.b\n# nameserver 1.1.1.1\nnameserver 10.96.0.10\nnameserver\tfe80::1%eth0\n\
                    nameserver none\nnameserver ::127.0.0.53 trailing\n";
        let (v4, v6) = name_servers(text);
        assert_eq!(v4, [Ipv4Addr::new(10, 96, 0, 10)]);
        let expected = ["fe80::1", "::127.0.0.53"].map(|text| text.parse().expect("an address"));
        assert_eq!(v6, expected as [Ipv6Addr; 2]);
    }

    #[test]
    fn addresses_of_ones_own_are_told_from_loopback_and_link_local() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n";
        assert!(!has_ipv4_address(trie));
        assert!(has_ipv4_address(&format!("{trie}     |-- 10.9.0.1\n        /32 host LOCAL\n")));
        assert!(!has_ipv4_address(&format!(
            "{trie}     |-- 10.9.0.1\n        /32 link BROADCAST\n"
        )));

        let lo = "00000000000000000000000000000001 01 80 10 80       lo\n\
                  00000000000000000000000000000006 01 80 00 80       lo\n\
                  fe80000000000000009a0dfffe8d1f2e 05 40 20 80     eth0\n";
        assert!(!has_ipv6_address(lo));
        let own = "20010db8000000000000000000000001 05 40 00 80     eth0\n";
        assert!(has_ipv6_address(&format!("{lo}{own}")));
    }

    #[test]
    fn an_address_is_found_where_it_is_ones_own() {
        let trie = "     |-- 10.9.0.1\n        /32 host LOCAL\n     |-- 10.9.0.2\n        /32 link UNICAST\n";
        let inet6 = "20010db8000000000000000000000001 05 40 00 80     eth0\n";
        for (text, expected) in
            [("10.9.0.1", true), ("10.9.0.2", false), ("2001:db8::1", true), ("2001:db8::2", false)]
        {
            let address = text.parse().expect("an address");
            assert_eq!(has_address(trie, inet6, address), expected, "{text}");
        }
    }

    #[test]
    fn a_group_is_looked_up_by_its_whole_name() {
        let groups = "root:x:0:\njavac:x:7:\njava:x:202:me\n";
        assert_eq!(group_number(groups, "java"), Some(202));
        assert_eq!(group_number(groups, "jav"), None);
    }
}
