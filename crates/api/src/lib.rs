//! The objects that users write.
#![allow(missing_docs)]

pub mod diagnostic;
pub mod duration;
pub mod kind;
pub mod kubernetes;
pub mod message;
pub mod networking;
pub mod object;
pub mod path;
pub mod security;
pub mod value;
