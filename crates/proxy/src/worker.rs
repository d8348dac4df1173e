//! Workers: threads with one single-threaded runtime each, and what a task on one can reach.

mod clock;
mod context;
mod drain;
mod random;

pub use clock::Clock;
pub use context::WorkerContext;
pub use drain::{DrainPhase, DrainSignal, DrainWatch};
pub use random::Random;
