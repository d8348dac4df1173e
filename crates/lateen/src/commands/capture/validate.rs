//! Whether the pod's traffic is captured, seen from a container without privileges: a connection of
//! the proxy's user to the pod's own address has to arrive at the proxy's inbound port. For pods whose
//! rules the CNI plugin has to have written before any container runs.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use lateen_capture::Settings;

/// Istio's port for this question; nobody listens there.
const PROBE: u16 = 15002;

/// How long rules may take to come.
const PATIENCE: Duration = Duration::from_secs(5);
const STEP: Duration = Duration::from_millis(250);

/// Whether the traffic is captured; says why not.
///
/// # Errors
/// When the proxy's inbound port is taken, or the pod has no address.
pub(super) fn is_captured(settings: &Settings) -> anyhow::Result<bool> {
    let own = own_address()?;
    let any: IpAddr = match own {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let listener = TcpListener::bind(SocketAddr::new(any, settings.inbound_port))?;
    listener.set_nonblocking(true)?;
    let probe = SocketAddr::new(own, PROBE);
    let until = Instant::now() + PATIENCE;
    loop {
        let outcome = arrives(probe, &listener);
        match outcome {
            Ok(()) => {
                println!("captured: a connection to {probe} arrives at the proxy's port");
                return Ok(true);
            }
            Err(error) if Instant::now() >= until => {
                println!("not captured: a connection to {probe} does not arrive: {error}");
                return Ok(false);
            }
            Err(_) => std::thread::sleep(STEP),
        }
    }
}

fn arrives(probe: SocketAddr, listener: &TcpListener) -> io::Result<()> {
    let client = TcpStream::connect_timeout(&probe, STEP)?;
    let (_, from) = listener.accept()?;
    if from.port() != client.local_addr()?.port() {
        return Err(io::Error::other("somebody else's connection arrived"));
    }
    Ok(())
}

/// The address from which this pod would speak to others. Nothing is sent.
fn own_address() -> io::Result<IpAddr> {
    let towards = |from: IpAddr, to: IpAddr| {
        let socket = UdpSocket::bind(SocketAddr::new(from, 0))?;
        socket.connect(SocketAddr::new(to, 9))?;
        socket.local_addr().map(|address| address.ip())
    };
    // Addresses for documentation (RFC 5737, RFC 3849).
    towards(Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into()).or_else(|_| {
        let to = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        towards(Ipv6Addr::UNSPECIFIED.into(), to.into())
    })
}
