//! One value at a time: text → what it means.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

use super::problem::Fault;
use super::{Group, InboundPorts, Interface, Mode, OwnerGroups, Ranges};

/// Everything.
const WILDCARD: &str = "*";

/// The longest name that the kernel gives an interface.
const INTERFACE_LENGTH: usize = 15;

/// Groups in the one rule that names those to capture. Most kernels allow 128 matches and more.
const MOST_GROUPS: usize = 64;

/// The entries of a list with commas; empty ones say nothing.
fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

/// A value that is wrong, and why.
pub(super) type Wrong = (String, Fault);

fn each<T>(text: &str, one: impl Fn(&str) -> Result<T, Fault>) -> Result<Vec<T>, Wrong> {
    entries(text).map(|entry| one(entry).map_err(|fault| (entry.to_owned(), fault))).collect()
}

fn parsed<T: FromStr>(text: &str, fault: Fault) -> Result<T, Fault> {
    // Rust would read a sign as part of the number.
    if text.starts_with('+') { Err(fault) } else { text.parse().map_err(|_| fault) }
}

pub(super) fn port(text: &str) -> Result<u16, Fault> {
    match parsed(text, Fault::Port)? {
        0 => Err(Fault::Port),
        port => Ok(port),
    }
}

pub(super) fn ports(text: &str) -> Result<Vec<u16>, Wrong> {
    each(text, |entry| if entry == WILDCARD { Err(Fault::EveryPort) } else { port(entry) })
}

pub(super) fn inbound_ports(include: &str, except: Vec<u16>) -> Result<InboundPorts, Wrong> {
    match include.trim() {
        WILDCARD => Ok(InboundPorts::All { except }),
        list => ports(list).map(InboundPorts::Only),
    }
}

pub(super) fn numbers(text: &str) -> Result<Vec<u32>, Wrong> {
    each(text, number)
}

fn number(text: &str) -> Result<u32, Fault> {
    parsed(text, Fault::Number)
}

pub(super) fn mark(text: &str, reserved: u32) -> Result<u32, Fault> {
    match parsed(text, Fault::Mark { reserved })? {
        0 => Err(Fault::Mark { reserved }),
        mark if mark == reserved => Err(Fault::Mark { reserved }),
        mark => Ok(mark),
    }
}

/// The kernel has tables 253 to 255 itself.
pub(super) fn route_table(text: &str) -> Result<u32, Fault> {
    match parsed(text, Fault::RouteTable)? {
        0 | 253..=255 => Err(Fault::RouteTable),
        table => Ok(table),
    }
}

pub(super) fn ranges(text: &str) -> Result<Ranges, Wrong> {
    match text.trim() {
        WILDCARD => Ok(Ranges::All),
        list => each(list, range).map(Ranges::Only),
    }
}

pub(super) fn excluded_ranges(text: &str) -> Result<Vec<IpNet>, Wrong> {
    each(text, |entry| if entry == WILDCARD { Err(Fault::EveryRange) } else { range(entry) })
}

fn range(text: &str) -> Result<IpNet, Fault> {
    parsed(text, Fault::Range)
}

pub(super) fn loopback(text: &str) -> Result<Ipv4Net, Fault> {
    let range: Ipv4Net = parsed(text, Fault::Loopback)?;
    if range.addr().is_loopback() && range.prefix_len() >= 8 {
        Ok(range)
    } else {
        Err(Fault::Loopback)
    }
}

pub(super) fn addresses<T: FromStr + Into<IpAddr>>(
    text: &str,
    family: u8,
) -> Result<Vec<T>, Wrong> {
    each(text, |entry| parsed(entry, Fault::Address { family }))
}

pub(super) fn interfaces(text: &str) -> Result<Vec<Interface>, Wrong> {
    each(text, interface)
}

/// What goes into a rule as it is written must not be able to say anything else there.
fn interface(text: &str) -> Result<Interface, Fault> {
    let stem = text.strip_suffix('+').unwrap_or(text);
    let sound = |character: char| character.is_ascii_alphanumeric() || "._-@".contains(character);
    let starts_well = stem.starts_with(|first: char| first.is_ascii_alphanumeric());
    if starts_well && text.len() <= INTERFACE_LENGTH && stem.chars().all(sound) {
        Ok(Interface(text.to_owned()))
    } else {
        Err(Fault::Interface)
    }
}

pub(super) fn owner_groups(include: &str, except: Vec<Group>) -> Result<OwnerGroups, Wrong> {
    if include.trim() == WILDCARD {
        return Ok(OwnerGroups::All { except });
    }
    let groups = groups(include)?;
    if groups.len() > MOST_GROUPS {
        let fault = Fault::ManyGroups { count: groups.len(), most: MOST_GROUPS };
        return Err((include.to_owned(), fault));
    }
    Ok(OwnerGroups::Only(groups))
}

pub(super) fn groups(text: &str) -> Result<Vec<Group>, Wrong> {
    each(text, group)
}

fn group(text: &str) -> Result<Group, Fault> {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return number(text).map(Group::Id).map_err(|_| Fault::Group);
    }
    let sound = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    let starts_well = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if starts_well && text.chars().all(sound) {
        Ok(Group::Name(text.to_owned()))
    } else {
        Err(Fault::Group)
    }
}

pub(super) fn mode(text: &str) -> Result<Mode, Fault> {
    match text {
        "REDIRECT" => Ok(Mode::Redirect),
        "TPROXY" => Ok(Mode::Tproxy),
        _ => Err(Fault::Mode),
    }
}

/// A switch, in the spellings that Istio's tools take.
#[must_use]
pub fn switch(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}
