//! The thread that writes access logs.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// How many buffers may wait for the thread. With buffers of 64 KiB this bounds what a slow disk
/// can make the proxy hold to 4 MiB.
const WAITING: usize = 64;

/// Whole lines for one file.
#[derive(Debug)]
pub struct Lines {
    /// The file.
    pub file: Arc<Path>,
    /// The lines, each with its end.
    pub text: Vec<u8>,
    /// How many there are.
    pub count: u64,
}

enum Message {
    Lines(Lines),
    Reopen,
    Stop,
}

/// Hands lines to the thread that writes them.
#[derive(Debug)]
pub struct Writer {
    sender: SyncSender<Message>,
    lost: Arc<AtomicU64>,
    written: Arc<AtomicU64>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start() -> io::Result<Self> {
        let (sender, receiver) = sync_channel(WAITING);
        let (lost, written) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let files = Files::new(Arc::clone(&lost), Arc::clone(&written));
        let thread = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || files.run(&receiver))?;
        Ok(Self { sender, lost, written, thread: Mutex::new(Some(thread)) })
    }

    /// Hands over lines; never waits. They are lost, and counted, when the thread is too slow.
    pub fn send(&self, lines: Lines) {
        let count = lines.count;
        match self.sender.try_send(Message::Lines(lines)) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                self.lost.fetch_add(count, Ordering::Relaxed);
            }
        }
    }

    /// Opens all files anew before the next line, for log rotation. Whether the request was taken.
    #[must_use]
    pub fn reopen(&self) -> bool {
        self.sender.try_send(Message::Reopen).is_ok()
    }

    /// Lines that could not be written.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Lines that have been written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Writes what was handed over, then ends the thread. Blocks until that is done.
    pub fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A thread that is gone already has nothing left to write.
            let _ = self.sender.send(Message::Stop);
            if thread.join().is_err() {
                tracing::error!("the thread that writes access logs panicked");
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The open files, on the thread.
struct Files {
    open: HashMap<Arc<Path>, Sink>,
    lost: Arc<AtomicU64>,
    written: Arc<AtomicU64>,
}

enum Sink {
    Standard(io::Stdout),
    Error(io::Stderr),
    File(File),
    /// Could not be opened; said once, tried again when files are opened anew.
    Broken,
}

impl Files {
    fn new(lost: Arc<AtomicU64>, written: Arc<AtomicU64>) -> Self {
        Self { open: HashMap::new(), lost, written }
    }

    fn run(mut self, receiver: &Receiver<Message>) {
        while let Ok(message) = receiver.recv() {
            match message {
                Message::Lines(lines) => self.write(&lines),
                Message::Reopen => self.open.clear(),
                Message::Stop => return,
            }
        }
    }

    fn write(&mut self, lines: &Lines) {
        let sink =
            self.open.entry(Arc::clone(&lines.file)).or_insert_with_key(|file| Sink::open(file));
        let result = match sink {
            // Standard output is line buffered: flushing hands over what a line's end has not.
            Sink::Standard(stdout) => stdout.write_all(&lines.text).and_then(|()| stdout.flush()),
            Sink::Error(stderr) => stderr.write_all(&lines.text),
            Sink::File(file) => file.write_all(&lines.text),
            Sink::Broken => {
                self.lost.fetch_add(lines.count, Ordering::Relaxed);
                return;
            }
        };
        match result {
            Ok(()) => self.written.fetch_add(lines.count, Ordering::Relaxed),
            Err(error) => {
                if self.lost.fetch_add(lines.count, Ordering::Relaxed) == 0 {
                    let file = lines.file.display();
                    tracing::warn!(%file, %error, "access log lines are lost");
                }
                0
            }
        };
    }
}

impl Sink {
    fn open(file: &Path) -> Self {
        if file == Path::new("/dev/stdout") {
            return Self::Standard(io::stdout());
        }
        if file == Path::new("/dev/stderr") {
            return Self::Error(io::stderr());
        }
        match OpenOptions::new().create(true).append(true).open(file) {
            Ok(file) => Self::File(file),
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "the access log cannot be opened");
                Self::Broken
            }
        }
    }
}
