//! Where objects come from.
//!
//! A source reads what people write and tells what came, changed or went, in batches that belong
//! together ([`Batch`]). It parses and validates with `lateen-api`, and it keeps the rule by which
//! bad configuration never breaks traffic: what is wrong is reported, and the last good version of
//! the objects concerned stays.
//!
//! * [`KubernetesSource`] lists and watches the objects of a cluster ([`kubernetes`]).
//! * [`DirectorySource`] reads a directory of YAML and JSON files once and then follows every change,
//!   by the kernel's notifications and never by polling.
//! * [`load_once`] reads a directory for a command that prints an answer and ends.
//!
//! What the latter two share is a [scan](directory) of the tree and the [`merge`] of what the files say
//! into one set of objects. The merge knows neither files nor clocks; the scan knows no objects.

pub mod directory;
pub mod kubernetes;
pub mod merge;

mod batch;

pub use batch::{Batch, Change};
pub use directory::{DirectorySource, Loaded, Settings, SourceError, load_once};
pub use kubernetes::KubernetesSource;
