//! Replacement of a running proxy in place.
//!
//! The running proxy listens on a Unix socket. A successor connects to it and gets the listening
//! sockets (`SCM_RIGHTS`), the workload's certificate with its key, and the configuration in force.
//! It starts with these, says that it is ready, and only then does the predecessor stop accepting,
//! drain and exit. Both accept from the same queues in between, so that no connection is refused.
//! If the successor fails before that, the predecessor has lost nothing.
//!
//! The socket has mode 0600, and each side checks that the other runs as the same user
//! (`SO_PEERCRED`): a key travels here.

#[cfg(test)]
mod tests;
mod wire;

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use rustix::net::sockopt::socket_peercred;
use rustix::process::getuid;

use wire::{Parcel, WireResource};

/// For each step that needs no work of the other side.
const STEP: Duration = Duration::from_secs(10);

/// How long a successor may take until it is ready.
const READY: Duration = Duration::from_secs(120);

/// What a proxy leaves to its successor.
#[derive(Debug, Default)]
pub struct Estate {
    /// Listening sockets.
    pub sockets: Vec<OwnedFd>,
    /// The workload's certificate, as [`lateen_identity::WorkloadCertificate::hand_over`] makes it.
    pub certificate: Option<Vec<u8>>,
    /// The configuration in force.
    pub resources: Vec<Resource>,
}

/// A resource of the configuration in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Its name.
    pub name: String,
    /// Hash of its bytes.
    pub version: String,
    /// The bytes.
    pub body: Bytes,
}

/// Why a hand-over did not come about. The predecessor, if there is one, goes on.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// The Unix socket cannot be used.
    #[error("cannot use {path}: {source}")]
    Socket {
        /// Path of the socket.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The other side runs as somebody else.
    #[error("the other side runs as user {theirs}, not as {ours}")]
    Stranger {
        /// Its user.
        theirs: u32,
        /// Our user.
        ours: u32,
    },
    /// The conversation broke off or went on for too long.
    #[error("the other side broke off: {0}")]
    Broken(#[from] io::Error),
    /// The other side speaks another version of this protocol.
    #[error("the other side sent what cannot be read: {0}")]
    Unreadable(String),
}

/// The door at which a successor knocks. Removes its socket when it is dropped, unless a successor
/// has put its own there.
#[derive(Debug)]
pub struct Door {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of our socket: the path may have become the successor's.
    file: (u64, u64),
}

impl Door {
    /// Listens at `path`, in the place of whatever was there.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn open(path: &Path) -> Result<Self, HandoverError> {
        let failed = |source| HandoverError::Socket { path: path.to_owned(), source };
        // Made under another name and then moved, so that at every moment somebody listens at the
        // path, and nobody can connect before the mode is set.
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(format!(".{}", std::process::id()));
        let fresh = PathBuf::from(fresh);
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&fresh).map_err(failed)?;
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        fs::rename(&fresh, path).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let file = file_of(path).map_err(failed)?;
        Ok(Self { listener, path: path.to_owned(), file })
    }

    /// Waits until a successor knocks. To be called on a runtime.
    ///
    /// # Errors
    /// When the socket breaks.
    pub async fn knock(&self) -> Result<Successor, HandoverError> {
        let failed = |source| HandoverError::Socket { path: self.path.clone(), source };
        let listener = self.listener.try_clone().map_err(failed)?;
        let listener = tokio::net::UnixListener::from_std(listener).map_err(failed)?;
        let (stream, _) = listener.accept().await.map_err(failed)?;
        let stream = stream.into_std().map_err(failed)?;
        Successor::new(stream)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if file_of(&self.path).is_ok_and(|file| file == self.file) {
            // Nothing can be done about a socket that stays; the next start replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn file_of(path: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// A successor that has knocked, seen from the predecessor. Its calls block.
#[derive(Debug)]
pub struct Successor(UnixStream);

impl Successor {
    fn new(stream: UnixStream) -> Result<Self, HandoverError> {
        check_peer(&stream)?;
        prepare(&stream)?;
        Ok(Self(stream))
    }

    /// Leaves everything to it, and returns when it is ready to go on alone.
    ///
    /// # Errors
    /// When it did not get ready: the predecessor goes on.
    pub fn give(&mut self, estate: &Estate) -> Result<(), HandoverError> {
        let parcel = Parcel {
            version: wire::VERSION,
            sockets: u32::try_from(estate.sockets.len()).unwrap_or(u32::MAX),
            certificate: estate.certificate.clone().map(Bytes::from),
            resources: estate.resources.iter().map(WireResource::from).collect(),
        };
        wire::send(&mut self.0, &parcel)?;
        wire::send_sockets(&self.0, &estate.sockets)?;
        self.0.set_read_timeout(Some(READY))?;
        wire::receive_ready(&mut self.0)
    }
}

/// A predecessor, seen from its successor. Its calls block.
#[derive(Debug)]
pub struct Predecessor(UnixStream);

impl Predecessor {
    /// Takes over from the proxy that listens at `path`; `None` if there is none.
    ///
    /// # Errors
    /// When there is one and it does not hand over.
    pub fn find(path: &Path) -> Result<Option<(Self, Estate)>, HandoverError> {
        let mut stream = match UnixStream::connect(path) {
            Ok(stream) => stream,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                return Ok(None);
            }
            Err(source) => return Err(HandoverError::Socket { path: path.to_owned(), source }),
        };
        check_peer(&stream)?;
        prepare(&stream)?;
        let parcel: Parcel = wire::receive(&mut stream)?;
        if parcel.version != wire::VERSION {
            let reason = format!("version {} of the hand-over", parcel.version);
            return Err(HandoverError::Unreadable(reason));
        }
        let sockets = wire::receive_sockets(&stream, parcel.sockets)?;
        let estate = Estate {
            sockets,
            certificate: parcel.certificate.map(Into::into),
            resources: parcel.resources.into_iter().map(Resource::from).collect(),
        };
        Ok(Some((Self(stream), estate)))
    }

    /// Says that this proxy serves: the predecessor may stop.
    ///
    /// # Errors
    /// When the predecessor has gone away meanwhile; there is nothing left to do about it.
    pub fn release(mut self) -> Result<(), HandoverError> {
        wire::send_ready(&mut self.0)?;
        Ok(())
    }
}

fn prepare(stream: &UnixStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(STEP))?;
    stream.set_write_timeout(Some(STEP))
}

fn check_peer(stream: &UnixStream) -> Result<(), HandoverError> {
    let theirs = socket_peercred(stream).map_err(io::Error::from)?.uid;
    let ours = getuid();
    if theirs == ours {
        Ok(())
    } else {
        Err(HandoverError::Stranger { theirs: theirs.as_raw(), ours: ours.as_raw() })
    }
}
