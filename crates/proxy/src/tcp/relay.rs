//! Copying between the two sides of a connection, each way until its end.
//!
//! One side's end is passed on as a half-close while the other way goes on. A connection that is
//! idle holds no buffer: bytes are read into one scratch buffer of the worker and written on in the
//! same breath; only what the other side does not take at once is kept, in a buffer that is given
//! back when it has drained.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes that one read may bring.
const SCRATCH: usize = 64 * 1024;

/// Buffers for bytes in transit that a worker keeps for the next connection.
const KEPT_BUFFERS: usize = 32;

thread_local! {
    static BUFFERS: RefCell<Buffers> = const { RefCell::new(Buffers::new()) };
}

/// The scratch buffer of a worker and the buffers that are not in use.
struct Buffers {
    scratch: Option<Box<[u8]>>,
    spare: Vec<Vec<u8>>,
}

impl Buffers {
    const fn new() -> Self {
        Self { scratch: None, spare: Vec::new() }
    }

    /// The scratch buffer, taken out so that nothing is borrowed while streams are polled.
    fn take_scratch() -> Box<[u8]> {
        BUFFERS
            .with_borrow_mut(|buffers| buffers.scratch.take())
            .unwrap_or_else(|| vec![0; SCRATCH].into_boxed_slice())
    }

    fn give_scratch(scratch: Box<[u8]>) {
        BUFFERS.with_borrow_mut(|buffers| buffers.scratch = Some(scratch));
    }

    fn take() -> Vec<u8> {
        BUFFERS.with_borrow_mut(|buffers| buffers.spare.pop()).unwrap_or_default()
    }

    fn give(mut buffer: Vec<u8>) {
        buffer.clear();
        BUFFERS.with_borrow_mut(|buffers| {
            if buffers.spare.len() < KEPT_BUFFERS {
                buffers.spare.push(buffer);
            }
        });
    }
}

/// Bytes that went each way so far. Shared with whoever reports them while the connection lives.
#[derive(Debug, Default)]
pub struct Counters {
    /// From the downstream side.
    pub received: Cell<u64>,
    /// To the downstream side.
    pub sent: Cell<u64>,
}

/// How a relayed connection ended.
#[derive(Debug)]
pub enum Ended {
    /// Both sides closed.
    Closed,
    /// Nothing went either way for too long.
    Idle,
    /// The downstream side broke.
    Downstream(io::Error),
    /// The upstream side broke.
    Upstream(io::Error),
}

/// A connection to be relayed.
#[derive(Debug)]
pub struct Relay {
    /// Where the bytes are counted.
    pub counters: Rc<Counters>,
    /// How long nothing may go either way.
    pub idle: Duration,
}

impl Relay {
    /// Relays until both sides have ended, one breaks, or nothing moves for too long. Cancelling
    /// drops nothing but what is in transit.
    pub async fn run<D, U>(&self, downstream: &mut D, upstream: &mut U) -> Ended
    where
        D: AsyncRead + AsyncWrite + Unpin,
        U: AsyncRead + AsyncWrite + Unpin,
    {
        let (mut up, mut down) = (Way::default(), Way::default());
        // What went before the relay began counts too.
        let (received, sent) = (self.counters.received.get(), self.counters.sent.get());
        let mut last = Instant::now();
        let mut timer = std::pin::pin!(sleep_until(last + self.idle));
        poll_fn(|cx| {
            let before = up.moved + down.moved;
            // Both ways are polled each time, so that a busy one does not starve the other.
            let sending = up.poll(cx, downstream, upstream);
            self.counters.received.set(received + up.moved);
            let receiving = down.poll(cx, upstream, downstream);
            self.counters.sent.set(sent + down.moved);
            let sending = match sending {
                Poll::Ready(Err(fault)) => return Poll::Ready(fault.on(Side::Downstream)),
                Poll::Ready(Ok(())) => true,
                Poll::Pending => false,
            };
            match receiving {
                Poll::Ready(Err(fault)) => return Poll::Ready(fault.on(Side::Upstream)),
                Poll::Ready(Ok(())) if sending => return Poll::Ready(Ended::Closed),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            if up.moved + down.moved != before {
                last = Instant::now();
            }
            poll_idle(cx, timer.as_mut(), last + self.idle)
        })
        .await
    }
}

/// The timer is moved only when it fires, not with every byte.
fn poll_idle(cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>, deadline: Instant) -> Poll<Ended> {
    while timer.as_mut().poll(cx).is_ready() {
        if Instant::now() >= deadline {
            return Poll::Ready(Ended::Idle);
        }
        timer.as_mut().reset(deadline);
    }
    Poll::Pending
}

enum Side {
    Downstream,
    Upstream,
}

/// Which end of one way broke.
enum Fault {
    Reading(io::Error),
    Writing(io::Error),
}

impl Fault {
    /// `reading`: the side that this way reads from.
    fn on(self, reading: Side) -> Ended {
        match (self, reading) {
            (Self::Reading(error), Side::Downstream) | (Self::Writing(error), Side::Upstream) => {
                Ended::Downstream(error)
            }
            (Self::Reading(error), Side::Upstream) | (Self::Writing(error), Side::Downstream) => {
                Ended::Upstream(error)
            }
        }
    }
}

/// One of the two ways.
#[derive(Default)]
struct Way {
    /// What the writer did not take yet, from `start` on.
    pending: Vec<u8>,
    start: usize,
    /// The writer may hold bytes back (TLS does) until it is flushed.
    unflushed: bool,
    ended: Progress,
    moved: u64,
}

#[derive(Default, PartialEq, Eq)]
enum Progress {
    #[default]
    Reading,
    Closing,
    Done,
}

impl Way {
    /// Ready when the reader's end has been passed on to the writer.
    fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> Poll<Result<(), Fault>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            if !self.pending.is_empty() {
                ready!(self.poll_pending(cx, writer)).map_err(Fault::Writing)?;
            }
            match self.ended {
                Progress::Done => return Poll::Ready(Ok(())),
                Progress::Closing => {
                    match ready!(Pin::new(&mut *writer).poll_shutdown(cx)) {
                        // The peer has gone altogether; the other way says how.
                        Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
                        shutdown => shutdown.map_err(Fault::Writing)?,
                    }
                    self.ended = Progress::Done;
                }
                Progress::Reading => match self.poll_copy(cx, reader, writer)? {
                    Poll::Ready(()) => {}
                    Poll::Pending => {
                        self.poll_flush(cx, writer)?;
                        return Poll::Pending;
                    }
                },
            }
        }
    }

    /// Reads once and writes on what was read.
    fn poll_copy<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
    ) -> Result<Poll<()>, Fault>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut scratch = Buffers::take_scratch();
        let mut buffer = ReadBuf::new(&mut scratch);
        let outcome = match Pin::new(reader).poll_read(cx, &mut buffer) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(Err(error)) => Err(Fault::Reading(error)),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                self.ended = Progress::Closing;
                Ok(Poll::Ready(()))
            }
            Poll::Ready(Ok(())) => {
                self.write_on(cx, writer, buffer.filled()).map(Poll::Ready).map_err(Fault::Writing)
            }
        };
        Buffers::give_scratch(scratch);
        outcome
    }

    /// Writes `bytes` as far as they are taken, and keeps the rest.
    fn write_on<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut W,
        bytes: &[u8],
    ) -> io::Result<()> {
        self.unflushed = true;
        let mut written = 0;
        while written < bytes.len() {
            match Pin::new(&mut *writer).poll_write(cx, &bytes[written..]) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    written += count;
                    self.moved += count as u64;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {
                    self.pending = Buffers::take();
                    self.pending.extend_from_slice(&bytes[written..]);
                    self.start = 0;
                    break;
                }
            }
        }
        Ok(())
    }

    fn poll_pending<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut W,
    ) -> Poll<io::Result<()>> {
        while self.start < self.pending.len() {
            let count = ready!(Pin::new(&mut *writer).poll_write(cx, &self.pending[self.start..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.start += count;
            self.moved += count as u64;
        }
        Buffers::give(std::mem::take(&mut self.pending));
        Poll::Ready(Ok(()))
    }

    /// Asks the writer to let go of what it holds; that it cannot do so now is no hindrance, since
    /// it wakes the task when it can.
    fn poll_flush<W: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut W,
    ) -> Result<(), Fault> {
        if self.unflushed
            && let Poll::Ready(flushed) = Pin::new(writer).poll_flush(cx)
        {
            flushed.map_err(Fault::Writing)?;
            self.unflushed = false;
        }
        Ok(())
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        if self.pending.capacity() > 0 {
            Buffers::give(std::mem::take(&mut self.pending));
        }
    }
}
