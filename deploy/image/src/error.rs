//! Why an image cannot be made.

use std::io;
use std::path::PathBuf;

/// Why an image cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of this machine cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The image cannot be written.
    #[error("cannot write the image: {0}")]
    Write(#[from] io::Error),
    /// A program is of a kind that is not packed.
    #[error("{} cannot be packed: {problem}", path.display())]
    Elf {
        /// The program.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A library that a program needs is not on this machine.
    #[error("{} needs {name}, which this machine does not have", by.display())]
    Library {
        /// The library's name.
        name: String,
        /// Who needs it.
        by: PathBuf,
    },
    /// A program is not on this machine.
    #[error("{name} is not on this machine: {advice}")]
    Program {
        /// Its name.
        name: String,
        /// How to get it.
        advice: &'static str,
    },
    /// A program that has to run anywhere, and does not.
    #[error("{} needs {library}: it has to be linked statically (./image builds it so)", program.display())]
    NotStatic {
        /// The program.
        program: PathBuf,
        /// A library or loader that it needs.
        library: String,
    },
    /// A file changed while it was packed.
    #[error("{} changed while it was packed; try again", .0.display())]
    Changed(PathBuf),
    /// Programs of one image are for different machines.
    #[error("the programs of {image} are for {first} and for {second}")]
    Machines {
        /// The image.
        image: String,
        /// A machine.
        first: &'static str,
        /// Another.
        second: &'static str,
    },
}

impl Error {
    /// A file that cannot be read.
    pub(crate) fn read(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Read { path, source }
    }
}
