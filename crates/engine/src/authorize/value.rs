//! Matching one value of an attribute.

use std::net::IpAddr;

use lateen_mesh::address::Block;
use lateen_mesh::v1::{self, value_match::Kind};
use regex::Regex;

use super::template;
use crate::route::{ends_with_ignore_case, starts_with_ignore_case, whole};

/// A compiled `ValueMatch`.
#[derive(Debug)]
pub(super) enum ValueMatcher {
    Exact(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    ExactIgnoreCase(Box<str>),
    PrefixIgnoreCase(Box<str>),
    SuffixIgnoreCase(Box<str>),
    /// Any value that is not empty.
    Present,
    Regex(Regex),
    Block(Block),
    Port(u16),
}

impl ValueMatcher {
    /// `None`: of a kind that this code does not know.
    pub(super) fn compile(message: &v1::ValueMatch) -> Result<Option<Self>, String> {
        let fold = message.ignore_case;
        Ok(Some(match &message.kind {
            None => return Ok(None),
            Some(Kind::Exact(text)) if fold => Self::ExactIgnoreCase(text.as_str().into()),
            Some(Kind::Exact(text)) => Self::Exact(text.as_str().into()),
            Some(Kind::Prefix(text)) if fold => Self::PrefixIgnoreCase(text.as_str().into()),
            Some(Kind::Prefix(text)) => Self::Prefix(text.as_str().into()),
            Some(Kind::Suffix(text)) if fold => Self::SuffixIgnoreCase(text.as_str().into()),
            Some(Kind::Suffix(text)) => Self::Suffix(text.as_str().into()),
            Some(Kind::Present(_)) => Self::Present,
            Some(Kind::Regex(text)) => Self::Regex(whole(text, fold)?),
            Some(Kind::PathTemplate(text)) => Self::Regex(template::compile(text)?),
            Some(Kind::Cidr(bytes)) => {
                Self::Block(Block::decode(bytes).ok_or_else(|| "a bad address block".to_owned())?)
            }
            Some(Kind::Port(port)) => {
                Self::Port(u16::try_from(*port).map_err(|_| format!("port {port}"))?)
            }
        }))
    }

    pub(super) fn matches_text(&self, value: &str) -> bool {
        match self {
            Self::Exact(text) => value == &**text,
            Self::Prefix(text) => value.starts_with(&**text),
            Self::Suffix(text) => value.ends_with(&**text),
            Self::ExactIgnoreCase(text) => value.eq_ignore_ascii_case(text),
            Self::PrefixIgnoreCase(text) => starts_with_ignore_case(value, text),
            Self::SuffixIgnoreCase(text) => ends_with_ignore_case(value, text),
            Self::Present => !value.is_empty(),
            Self::Regex(regex) => regex.is_match(value),
            Self::Block(block) => value.parse().is_ok_and(|address| block.contains(address)),
            Self::Port(_) => false,
        }
    }

    pub(super) fn matches_address(&self, address: IpAddr) -> bool {
        match self {
            Self::Block(block) => block.contains(address.to_canonical()),
            Self::Present => true,
            other => other.matches_text(&address.to_canonical().to_string()),
        }
    }

    pub(super) fn matches_port(&self, port: u16) -> bool {
        match self {
            Self::Port(number) => *number == port,
            Self::Present => true,
            other => other.matches_text(&port.to_string()),
        }
    }
}
