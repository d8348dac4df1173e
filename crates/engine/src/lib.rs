//! Pure request decisions.
//!
//! The mesh model's messages are compiled into an immutable [`Plan`]; every decision that a proxy
//! takes about a connection or a request is a call on that plan. Nothing here does I/O, reads a
//! clock or makes randomness of its own: addresses, random numbers and the state of endpoints come
//! in as arguments, so a decision can be replayed, tested and explained.
//!
//! ```text
//!  Cut ──► Resources::apply ──► Arc<Plan> ──► outbound / route / pick / retry / inbound /
//!          (errors: the NACK)                 authorize / gateway, each with an `explain` twin
//! ```
//!
//! Compiling:
//! - [`resources`]: what has arrived, by name; applying a cut is all or nothing.
//! - [`plan`]: the snapshot that decisions are made on.
//! - [`directory`]: which hosts, addresses and ports exist, details or not.
//! - [`origin`]: the user's object and field behind each node. [`reason`]: why something is refused.
//!
//! Deciding, in the order of a request's life:
//! - [`outbound`]: what a captured connection is. [`route`]: where an HTTP request goes.
//! - [`destination`], [`upstream`], [`balance`]: which endpoint, and what TLS to speak to it.
//! - [`retry`]: whether a failed attempt is tried again, and when.
//! - [`inbound`], [`authorize`]: what a workload accepts, and from whom.
//! - [`gateway`]: the servers of a gateway's port.
//! - [`joined`]: headers of which there is one.
//! - [`path`]: normalisation before anything matches a path.
//! - [`explain`]: the same decisions, with every step that led there.

pub mod authority;
pub mod authorize;
pub mod balance;
pub mod connection;
pub mod destination;
pub mod directory;
pub mod explain;
pub mod gateway;
pub mod inbound;
pub mod joined;
pub mod origin;
pub mod outbound;
pub mod path;
pub mod plan;
pub mod reason;
pub mod resources;
pub mod retry;
pub mod route;
pub mod settings;
pub mod upstream;

pub use connection::{Connection, HttpScope, Inspect, OnSilence, Seen, TcpForward};
pub use destination::{Destination, DestinationKey, Target};
pub use explain::{Drawn, Explained, Step};
pub use origin::Origin;
pub use plan::{Need, Plan};
pub use reason::{Reason, Refusal, Side};
pub use resources::{Cut, Rejected, Resources};
pub use route::{Forward, HttpDecision, Request};
