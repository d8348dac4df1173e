//! The commands, one file each.

pub mod access;
pub mod addresses;
pub mod capture;
pub mod check;
pub mod cni;
pub mod controller;
pub mod crds;
pub mod explain;
pub mod inject;
pub mod install;
mod logging;
mod offline;
pub mod proxy;
pub mod proxy_config;
pub mod proxy_status;
pub mod uninstall;
pub mod validate;
