//! Container images without a container engine: files of this machine, packed with the libraries that
//! they need into an archive that `ctr images import` and `docker load` accept. The same files give the
//! same bytes.
//!
//! | module | holds |
//! | --- | --- |
//! | [`tree`] | the files of a layer, as data |
//! | [`elf`] | what a program says about itself: its machine, its loader, the libraries it needs |
//! | [`machine`] | where this machine keeps libraries, and everything that a program needs of them |
//! | [`layer`] | a tree as a tar stream and its digest |
//! | [`image`] | layers, settings, and the archive |
//! | [`lateen`] | the three images of Lateen |

pub mod elf;
mod error;
pub mod image;
pub mod lateen;
pub mod layer;
pub mod machine;
pub mod tree;

pub use error::Error;
pub use image::{Image, Settings};
pub use machine::Machine;
pub use tree::Tree;
