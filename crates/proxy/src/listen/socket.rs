//! Binding, or taking what a predecessor handed over.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted; the kernel's own bound is usually the lower one.
const BACKLOG: i32 = 4096;

/// Listening sockets of a predecessor, by their address. Those that nobody takes are closed with
/// it.
#[derive(Debug, Default)]
pub struct Inherited(HashMap<SocketAddr, TcpListener>);

impl Inherited {
    /// Sorts sockets by the address that they are bound to. What is no listening TCP socket is
    /// left out.
    #[must_use]
    pub fn new(sockets: impl IntoIterator<Item = OwnedFd>) -> Self {
        let listening = sockets.into_iter().filter_map(|socket| {
            let socket = Socket::from(socket);
            socket.is_listener().ok().filter(|listening| *listening)?;
            socket.set_nonblocking(true).ok()?;
            let listener = TcpListener::from(socket);
            Some((listener.local_addr().ok()?, listener))
        });
        Self(listening.collect())
    }

    /// The socket bound to `address`, if there is one.
    pub fn take(&mut self, address: SocketAddr) -> Option<TcpListener> {
        self.0.remove(&address)
    }

    /// How many are left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Binds and listens, non-blocking. `SO_REUSEADDR`, so that connections of a former process that
/// linger do not stand in the way.
///
/// # Errors
/// When the address is not ours, is taken, or needs privileges.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    listen(Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?, address)
}

/// The same on every address of the machine, of both families: a pod may have either or both, and what the
/// kubelet asks is not always the first. A kernel without IPv6 listens for IPv4 alone.
///
/// # Errors
/// When the port is taken, or needs privileges.
pub fn bind_everywhere(port: u16) -> io::Result<TcpListener> {
    let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))
        .and_then(|socket| {
            socket.set_only_v6(false)?;
            finish(socket, both)
        })
        .or_else(|error| match error.kind() {
            io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
            _ => bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
        })
}

/// The same, for connections to any address (`IP_TRANSPARENT`, which needs CAP_NET_ADMIN).
///
/// # Errors
/// When the address is not ours, is taken, or privileges are missing.
pub(super) fn bind_transparent(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    match address {
        SocketAddr::V4(_) => socket.set_ip_transparent_v4(true)?,
        SocketAddr::V6(_) => socket.set_ip_transparent_v6(true)?,
    }
    listen(socket, address)
}

fn listen(socket: Socket, address: SocketAddr) -> io::Result<TcpListener> {
    if address.is_ipv6() {
        // IPv4 has a listener of its own.
        socket.set_only_v6(true)?;
    }
    finish(socket, address)
}

fn finish(socket: Socket, address: SocketAddr) -> io::Result<TcpListener> {
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts without blocking; the socket comes ready for a runtime, in one system call.
pub(super) fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (socket, remote) = acceptfrom_with(listener.as_fd(), flags)?;
    let remote = remote
        .and_then(|address| SocketAddr::try_from(address).ok())
        .ok_or_else(|| io::Error::other("a TCP connection without an address"))?;
    Ok((TcpStream::from(socket), remote))
}
