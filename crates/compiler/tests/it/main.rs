//! Tests of the compiler from outside: YAML in, messages of the mesh model out.
#![expect(clippy::unwrap_used, reason = "a test that does not find what it looks for fails")]

mod analysis;
mod destinations;
mod directory;
mod endpoints;
mod gateways;
mod inbound;
mod incremental;
mod local;
mod mesh;
mod policies;
mod roles;
mod routes;
mod scale;
