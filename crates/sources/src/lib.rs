//! Where objects come from.
//!
//! A source reads what people write and tells what came, changed or went, in batches that belong
//! together ([`Batch`]). It parses and validates with `lateen-api`, and it keeps the rule by which
//! bad configuration never breaks traffic: what is wrong is reported, and the last good version of
//! the objects concerned stays.
//!
//! There is one source so far, a directory of YAML and JSON files:
//!
//! * [`DirectorySource`] reads it once and then follows every change, by the kernel's
//!   notifications and never by polling.
//! * [`load_once`] reads it for a command that prints an answer and ends.
//!
//! What the two share is a [scan](directory) of the tree and the [`merge`] of what the files say
//! into one set of objects. The merge knows neither files nor clocks; the scan knows no objects.

pub mod directory;
pub mod merge;

mod batch;

pub use batch::{Batch, Change};
pub use directory::{DirectorySource, Loaded, Settings, SourceError, load_once};
