//! Meshes and requests that are generated from a number.

mod mesh;
mod random;
mod requests;

pub use mesh::{PODS, mesh};
pub use random::Random;
pub use requests::{Asked, requests};

/// Paths that requests have; routes and policies are made of them.
const PATHS: [&str; 8] = [
    "/",
    "/api",
    "/api/v1/items",
    "/api/v2",
    "/static/app.js",
    "/health",
    "/Admin",
    "/admin/users",
];

/// Users that requests name in `x-user`.
const USERS: [&str; 3] = ["jason", "anna", "jasmine"];

/// Methods of requests.
const METHODS: [&str; 4] = ["GET", "POST", "PUT", "DELETE"];
