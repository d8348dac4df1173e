//! The commands, one file each.

pub mod addresses;
pub mod capture;
pub mod controller;
pub mod crds;
pub mod explain;
pub mod inject;
mod logging;
mod offline;
pub mod proxy;
pub mod proxy_status;
pub mod validate;
