//! Workers: threads with one single-threaded runtime each, and what a task on one can reach.

mod clock;
mod context;
mod drain;
mod endpoints;
mod random;
mod thread;

pub use clock::Clock;
pub use context::{PlanInForce, WorkerContext};
pub use drain::{DrainPhase, DrainSignal, DrainWatch};
pub use endpoints::{DestinationCells, View};
pub use random::Random;
pub use thread::{Parts, Worker};
