//! A tree as a tar stream: sorted, without times, so that the same files give the same bytes.

use std::fs::File;
use std::io::{self, Read, Write};

use aws_lc_rs::digest;

use crate::error::Error;
use crate::tree::{Content, Entry, Tree};

/// The digest and the size of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// In bytes.
    pub size: u64,
}

impl Descriptor {
    /// That of bytes in memory.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut measure = Measure::default();
        measure.update(bytes);
        measure.finish()
    }
}

/// Counts and digests what is written.
struct Measure {
    context: digest::Context,
    size: u64,
}

impl Default for Measure {
    fn default() -> Self {
        Self { context: digest::Context::new(&digest::SHA256), size: 0 }
    }
}

impl Measure {
    fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.size += bytes.len() as u64;
    }

    fn finish(self) -> Descriptor {
        let digest = self.context.finish();
        let sha256 = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        Descriptor { sha256, size: self.size }
    }
}

/// Measures what it passes on.
struct Measured<W> {
    measure: Measure,
    to: W,
}

impl<W: Write> Write for Measured<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.measure.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// What a tree's tar stream will be.
///
/// # Errors
/// When a file of the machine cannot be read.
pub fn measure(tree: &Tree) -> Result<Descriptor, Error> {
    write(tree, io::sink())
}

/// Writes a tree's tar stream; what was written.
///
/// # Errors
/// When a file of the machine cannot be read, or the stream cannot be written.
pub fn write(tree: &Tree, to: impl Write) -> Result<Descriptor, Error> {
    let mut builder = tar::Builder::new(Measured { measure: Measure::default(), to });
    for (path, entry) in tree.entries() {
        append(&mut builder, path, entry)?;
    }
    Ok(builder.into_inner()?.measure.finish())
}

fn append(builder: &mut tar::Builder<impl Write>, path: &str, entry: &Entry) -> Result<(), Error> {
    match &entry.content {
        Content::Folder => {
            let mut header = header(tar::EntryType::Directory, entry, 0);
            builder.append_data(&mut header, format!("{path}/"), io::empty())?;
        }
        Content::Link(target) => {
            let mut header = header(tar::EntryType::Symlink, entry, 0);
            builder.append_link(&mut header, path, target)?;
        }
        Content::Bytes(bytes) => {
            let mut header = header(tar::EntryType::Regular, entry, bytes.len() as u64);
            builder.append_data(&mut header, path, bytes.as_slice())?;
        }
        Content::Host(host) => {
            let file = File::open(host).map_err(Error::read(host))?;
            let size = file.metadata().map_err(Error::read(host))?.len();
            let mut header = header(tar::EntryType::Regular, entry, size);
            let mut read = Counted { from: file.take(size), count: 0 };
            builder.append_data(&mut header, path, &mut read)?;
            if read.count != size {
                return Err(Error::Changed(host.clone()));
            }
        }
    }
    Ok(())
}

/// Counts what is read.
struct Counted<R> {
    from: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.count += read as u64;
        Ok(read)
    }
}

fn header(kind: tar::EntryType, entry: &Entry, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(entry.mode);
    header.set_uid(entry.owner.into());
    header.set_gid(entry.owner.into());
    header.set_size(size);
    header.set_mtime(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_sha_256() {
        let empty = Descriptor::of(b"");
        assert_eq!(
            empty.sha256,
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(empty.size, 0);
    }

    #[test]
    fn what_is_measured_is_what_is_written_whatever_the_order_was() {
        let mut one = Tree::default();
        one.text("a/b", "text");
        one.link("a/link", "b");
        one.host("exe", "/proc/self/exe", 0o755);
        let mut two = Tree::default();
        two.host("exe", "/proc/self/exe", 0o755);
        two.link("a/link", "b");
        two.text("a/b", "text");
        let mut bytes = Vec::new();
        let written = write(&one, &mut bytes).unwrap();
        assert_eq!(written, Descriptor::of(&bytes));
        assert_eq!(written, measure(&two).unwrap());
    }
}
