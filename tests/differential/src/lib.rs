//! The differential bed: one mesh, one traffic, the native proxy and stock Envoy, compared.
//!
//! - [`scenario`]: what a scenario says, read and checked (`README.md` explains it).
//! - [`bed`]: scenarios run on both sides.
//! - [`side`]: one side: control plane, proxies, backends, clients.
//! - [`observe`]: what a side saw; [`expectation`], [`compare`]: whether that is right.
//! - [`differences`]: what `docs/differences.md` declares.
//! - [`open`]: what is known to differ, and is not mended yet.
//! - [`strip`]: a mesh without one of its fields.
//! - [`generate`]: random meshes and requests, and what differs made small.
//! - [`validation`]: what Envoy says of the same meshes when it only reads them.
//! - [`run`]: what `./test differential` does.

pub mod bed;
pub mod compare;
pub mod differences;
pub mod expectation;
pub mod generate;
pub mod observe;
pub mod open;
pub mod run;
pub mod scenario;
pub mod side;
pub mod strip;
pub mod validation;
