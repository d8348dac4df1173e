//! Cuts: resources that take effect together, over several responses.
//!
//! A cut that is too large for one response travels as a sequence of *chunks*, each in a response
//! of its own, numbered from 0, the last one marked. How the number is written into a response is
//! the caller's matter (the mesh ends each response with a resource that says it). A reader shows
//! nothing of a cut before its last chunk has arrived, and forgets what it has of it when the
//! stream ends: whatever breaks, there is the old state or the new one.

use std::sync::Arc;

use crate::Resource;

/// Which part of which cut a response is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// The cut, as the sender counts. Consecutive cuts may have the same number.
    pub sequence: u64,
    /// Counts from 0 inside the cut.
    pub chunk: u32,
    /// The cut is complete with this chunk.
    pub last: bool,
}

/// A part of a cut that fits into a response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chunk {
    /// Resources that came or changed.
    pub resources: Vec<Resource>,
    /// Names of resources that went.
    pub removed: Vec<Arc<str>>,
}

/// Splits a cut into chunks of at most `limit` bytes of names, versions and bodies, in order; a
/// resource that is larger than that has a chunk of its own. Never empty: a cut without content is
/// one chunk without content. Removed names come in the last chunk.
#[must_use]
pub fn split(resources: Vec<Resource>, removed: Vec<Arc<str>>, limit: usize) -> Vec<Chunk> {
    let mut chunks = vec![Chunk::default()];
    let mut size = 0;
    for resource in resources {
        let cost = resource.name.len() + resource.version.len() + resource.body.len();
        if size > 0 && size + cost > limit {
            chunks.push(Chunk::default());
            size = 0;
        }
        size += cost;
        last(&mut chunks).resources.push(resource);
    }
    let cost: usize = removed.iter().map(|name| name.len()).sum();
    if size > 0 && size + cost > limit {
        chunks.push(Chunk::default());
    }
    last(&mut chunks).removed = removed;
    chunks
}

fn last(chunks: &mut [Chunk]) -> &mut Chunk {
    chunks.last_mut().expect("invariant: there is a chunk from the start")
}

/// A complete cut.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cut {
    /// The sender's number.
    pub sequence: u64,
    /// Resources that came or changed.
    pub resources: Vec<Resource>,
    /// Names of resources that went.
    pub removed: Vec<Arc<str>>,
}

/// Chunks that do not make a cut: the sender is at fault, and the stream is of no further use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CutError {
    /// A chunk is missing, or came twice.
    #[error("cut {sequence}: chunk {chunk} came where chunk {expected} was due")]
    Order {
        /// The cut.
        sequence: u64,
        /// What came.
        chunk: u32,
        /// What was due.
        expected: u32,
    },
    /// A cut began before the former was complete.
    #[error("cut {sequence} began before cut {unfinished} was complete")]
    Interleaved {
        /// The cut that began.
        sequence: u64,
        /// The one before.
        unfinished: u64,
    },
    /// More bytes than this reader takes for one cut.
    #[error("cut {sequence} is larger than {limit} bytes")]
    TooLarge {
        /// The cut.
        sequence: u64,
        /// The reader's limit.
        limit: usize,
    },
}

/// Puts chunks together.
#[derive(Debug)]
pub struct CutAssembler {
    pending: Option<Pending>,
    limit: usize,
}

#[derive(Debug)]
struct Pending {
    cut: Cut,
    next: u32,
    size: usize,
}

impl CutAssembler {
    /// An assembler that takes cuts of up to `limit` bytes of bodies.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { pending: None, limit }
    }

    /// Takes a chunk, and gives the cut if it is complete with it.
    ///
    /// # Errors
    /// When the chunks are out of order or too large. What was assembled is dropped.
    pub fn push(&mut self, chunk: Chunk, marker: Marker) -> Result<Option<Cut>, CutError> {
        let Marker { sequence, chunk: number, last } = marker;
        let mut pending = self.pending.take().unwrap_or_else(|| Pending {
            cut: Cut { sequence, ..Cut::default() },
            next: 0,
            size: 0,
        });
        if pending.cut.sequence != sequence {
            return Err(CutError::Interleaved { sequence, unfinished: pending.cut.sequence });
        }
        if pending.next != number {
            return Err(CutError::Order { sequence, chunk: number, expected: pending.next });
        }
        pending.next += 1;
        pending.size += chunk.resources.iter().map(|resource| resource.body.len()).sum::<usize>();
        if pending.size > self.limit {
            return Err(CutError::TooLarge { sequence, limit: self.limit });
        }
        pending.cut.resources.extend(chunk.resources);
        pending.cut.removed.extend(chunk.removed);
        if last {
            return Ok(Some(pending.cut));
        }
        self.pending = Some(pending);
        Ok(None)
    }

    /// Forgets an incomplete cut: the stream that it came on has ended.
    pub fn reset(&mut self) {
        self.pending = None;
    }

    /// Whether the first chunks of a cut wait for the rest.
    #[must_use]
    pub fn is_incomplete(&self) -> bool {
        self.pending.is_some()
    }
}

#[cfg(test)]
mod tests;
