//! What stands beside the packet filter in the kernel's own language (rtnetlink(7)): the messages that
//! add, remove and list it. Who sends them is somebody else.

use std::net::Ipv6Addr;

use crate::model::Family;
use crate::routes::Entry;
use crate::rules::PASSTHROUGH_V6;

/// What is asked of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Make it; it is not there.
    Add,
    /// Take it away.
    Remove,
    /// List everything of its kind.
    List,
}

/// A message of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'m> {
    /// Something that is there.
    Item(&'m [u8]),
    /// It is done; nothing more comes.
    Done,
    /// It was refused, with this error number.
    Refused(i32),
}

/// The kernel's number of the loopback interface, the first of each network namespace.
const LOOPBACK: u32 = 1;

const HEADER: usize = 16;

/// Kinds of messages (`linux/rtnetlink.h`): the one that makes; the next two remove and list.
const ADDRESS: u16 = 20;
const ROUTE: u16 = 24;
const RULE: u16 = 32;

const ERROR: u16 = 2;
const DONE: u16 = 3;

/// Flags (`linux/netlink.h`).
const REQUEST: u16 = 0x1;
const ACKNOWLEDGE: u16 = 0x4;
const DUMP: u16 = 0x300;
const EXCLUSIVE: u16 = 0x200;
const CREATE: u16 = 0x400;

/// Attributes.
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_TABLE: u16 = 15;
const FRA_FWMARK: u16 = 10;
const FRA_TABLE: u16 = 15;

/// `RTN_LOCAL`, `RT_SCOPE_HOST`, `RTPROT_BOOT`, `FR_ACT_TO_TBL`.
const LOCAL: u8 = 2;
const SCOPE_HOST: u8 = 254;
const BOOT: u8 = 3;
const TO_TABLE: u8 = 1;

impl Entry {
    /// The message that asks this of the kernel.
    #[must_use]
    pub fn message(self, ask: Ask) -> Vec<u8> {
        let (kind, offset, flags) = match ask {
            Ask::Add => (self.kind(), 0, REQUEST | ACKNOWLEDGE | CREATE | EXCLUSIVE),
            Ask::Remove => (self.kind(), 1, REQUEST | ACKNOWLEDGE),
            Ask::List => (self.kind(), 2, REQUEST | DUMP),
        };
        let body = self.body();
        let length = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
        let mut message = Vec::with_capacity(HEADER + body.len());
        message.extend_from_slice(&length.to_ne_bytes());
        message.extend_from_slice(&(kind + offset).to_ne_bytes());
        message.extend_from_slice(&flags.to_ne_bytes());
        // Sequence and sender: one question at a time is asked on a socket of its own.
        message.extend_from_slice(&[0; 8]);
        message.extend_from_slice(&body);
        message
    }

    /// Whether an item of a list is this.
    #[must_use]
    pub fn is(self, item: &[u8]) -> bool {
        match self {
            Self::Address => {
                let own = PASSTHROUGH_V6.octets();
                item.len() >= 8
                    && item[0] == family(Family::V6)
                    && item[1] == 128
                    && item[4..8] == LOOPBACK.to_ne_bytes()
                    && attribute(&item[8..], IFA_ADDRESS) == Some(&own[..])
            }
            Self::Rule { family: of, mark, table } => {
                item.len() >= 12
                    && item[0] == family(of)
                    && item[1..3] == [0, 0]
                    && number(&item[12..], FRA_FWMARK) == Some(mark)
                    && number(&item[12..], FRA_TABLE) == Some(table)
            }
            Self::Route { family: of, table } => {
                item.len() >= 12
                    && item[0] == family(of)
                    && item[1] == 0
                    && item[7] == LOCAL
                    && number(&item[12..], RTA_OIF) == Some(LOOPBACK)
                    && number(&item[12..], RTA_TABLE) == Some(table)
            }
        }
    }

    fn kind(self) -> u16 {
        match self {
            Self::Address => ADDRESS,
            Self::Route { .. } => ROUTE,
            Self::Rule { .. } => RULE,
        }
    }

    fn body(self) -> Vec<u8> {
        let mut body = Vec::new();
        match self {
            Self::Address => {
                body.extend_from_slice(&[family(Family::V6), 128, 0, 0]);
                body.extend_from_slice(&LOOPBACK.to_ne_bytes());
                let own: Ipv6Addr = PASSTHROUGH_V6;
                append(&mut body, IFA_LOCAL, &own.octets());
                append(&mut body, IFA_ADDRESS, &own.octets());
            }
            Self::Rule { family: of, mark, table } => {
                body.extend_from_slice(&[family(of), 0, 0, 0, low(table), 0, 0, TO_TABLE]);
                body.extend_from_slice(&[0; 4]);
                append(&mut body, FRA_FWMARK, &mark.to_ne_bytes());
                append(&mut body, FRA_TABLE, &table.to_ne_bytes());
            }
            Self::Route { family: of, table } => {
                // IPv6 knows no scopes.
                let scope = if of == Family::V4 { SCOPE_HOST } else { 0 };
                body.extend_from_slice(&[family(of), 0, 0, 0, low(table), BOOT, scope, LOCAL]);
                body.extend_from_slice(&[0; 4]);
                append(&mut body, RTA_OIF, &LOOPBACK.to_ne_bytes());
                append(&mut body, RTA_TABLE, &table.to_ne_bytes());
            }
        }
        body
    }
}

/// The messages of what was received at once. What is damaged ends them.
pub fn answers(received: &[u8]) -> impl Iterator<Item = Answer<'_>> {
    let mut rest = received;
    std::iter::from_fn(move || {
        let length = usize::try_from(u32::from_ne_bytes(bytes(rest, 0)?)).ok()?;
        let kind = u16::from_ne_bytes(bytes(rest, 4)?);
        let body = rest.get(HEADER..length)?;
        rest = rest.get(aligned(length)..).unwrap_or_default();
        Some(match kind {
            DONE => Answer::Done,
            ERROR => match i32::from_ne_bytes(bytes(body, 0)?) {
                0 => Answer::Done,
                error => Answer::Refused(error.saturating_neg()),
            },
            _ => Answer::Item(body),
        })
    })
}

/// `AF_INET`, `AF_INET6`.
fn family(family: Family) -> u8 {
    match family {
        Family::V4 => 2,
        Family::V6 => 10,
    }
}

/// A table's number in the header, which has room for small ones only.
fn low(table: u32) -> u8 {
    u8::try_from(table).unwrap_or(0)
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn append(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    body.extend_from_slice(&length.to_ne_bytes());
    body.extend_from_slice(&kind.to_ne_bytes());
    body.extend_from_slice(value);
    body.resize(aligned(body.len()), 0);
}

fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(u16::from_ne_bytes(bytes(attributes, 0)?));
        let kind = u16::from_ne_bytes(bytes(attributes, 2)?);
        let value = attributes.get(4..length)?;
        if kind == wanted {
            return Some(value);
        }
        attributes = attributes.get(aligned(length)..)?;
    }
}

fn number(attributes: &[u8], wanted: u16) -> Option<u32> {
    attribute(attributes, wanted)?.try_into().ok().map(u32::from_ne_bytes)
}

fn bytes<const N: usize>(from: &[u8], offset: usize) -> Option<[u8; N]> {
    from.get(offset..)?.get(..N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ENTRIES: [Entry; 5] = [
        Entry::Address,
        Entry::Rule { family: Family::V4, mark: 1337, table: 133 },
        Entry::Rule { family: Family::V6, mark: 7, table: 70_000 },
        Entry::Route { family: Family::V4, table: 133 },
        Entry::Route { family: Family::V6, table: 133 },
    ];

    /// What is asked to be made is what a list shows of it.
    #[test]
    fn an_entry_is_itself_and_no_other() {
        for one in ENTRIES {
            for other in ENTRIES {
                let message = other.message(Ask::Add);
                assert_eq!(one.is(&message[HEADER..]), one == other, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn answers_are_told_apart() {
        let message = |kind: u16, body: &[u8]| {
            let mut message = Vec::new();
            message.extend_from_slice(&u32::try_from(HEADER + body.len()).unwrap().to_ne_bytes());
            message.extend_from_slice(&kind.to_ne_bytes());
            message.extend_from_slice(&[0; 10]);
            message.extend_from_slice(body);
            message.resize(aligned(message.len()), 0);
            message
        };
        let received = [
            message(RULE, &[1, 2, 3]),
            message(ERROR, &(-17i32).to_ne_bytes()),
            message(ERROR, &0i32.to_ne_bytes()),
            message(DONE, &[]),
        ]
        .concat();
        let expected = [Answer::Item(&[1, 2, 3]), Answer::Refused(17), Answer::Done, Answer::Done];
        assert_eq!(answers(&received).collect::<Vec<_>>(), expected);
    }

    proptest! {
        #[test]
        fn damage_is_survived(received in proptest::collection::vec(any::<u8>(), 0..256)) {
            for answer in answers(&received).take(64) {
                if let Answer::Item(item) = answer {
                    for entry in ENTRIES {
                        let _ = entry.is(item);
                    }
                }
            }
            for entry in ENTRIES {
                let _ = entry.is(&received);
            }
        }
    }
}
