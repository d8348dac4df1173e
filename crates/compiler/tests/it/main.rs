//! Tests of the compiler from outside: YAML in, messages of the mesh model out.

mod destinations;
mod directory;
mod endpoints;
mod gateways;
mod inbound;
mod incremental;
mod local;
mod mesh;
mod policies;
mod routes;
mod scale;
