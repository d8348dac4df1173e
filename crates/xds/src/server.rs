//! The server's side: streams are accepted, read and answered; a [`Handler`] decides.
//!
//! [`Discovery`] is the gRPC service. For each stream it asks the handler to [`Handler::open`] a
//! [`Session`] with the first message; the session hears what the client says ([`Event`]) and
//! hands [`Update`]s to its [`Outlet`] whenever it likes. Of each type one response is in flight:
//! further updates wait until the client has answered, and the outlet gives back-pressure.

mod flow;
mod frames;
mod service;
mod session;

pub use service::Discovery;
pub use session::{Event, Handler, Opening, Outlet, OutletClosed, Session, Update};
