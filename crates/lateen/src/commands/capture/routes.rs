//! What stands beside the packet filter, asked of the kernel.

use anyhow::Context;
use lateen_capture::Settings;
use lateen_capture::netlink::{Answer, Ask, answers};
use lateen_capture::routes::{Command, Entry, entries};
use lateen_capture::settings::{InboundPorts, Mode};
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// Larger than what the kernel answers at once.
const LARGEST: usize = 64 * 1024;

/// Adds what is not there yet, and says so.
pub(super) fn add(settings: &Settings) -> anyhow::Result<()> {
    for entry in missing(settings)? {
        carry_out(entry, Ask::Add, &entry.add())?;
    }
    Ok(())
}

/// What is not there.
pub(super) fn missing(settings: &Settings) -> anyhow::Result<Vec<Entry>> {
    let mut missing = Vec::new();
    for entry in entries(settings) {
        if !is_there(entry)? {
            missing.push(entry);
        }
    }
    Ok(missing)
}

/// Takes away whatever these settings could have added in any mode.
pub(super) fn remove(settings: &Settings) -> anyhow::Result<()> {
    let all = Settings {
        ipv6: true,
        mode: Mode::Tproxy,
        inbound_ports: InboundPorts::All { except: Vec::new() },
        ..settings.clone()
    };
    // Rules lead to the routes: they go first.
    for entry in entries(&all).into_iter().rev() {
        // Without IPv6 nothing of the kind can have been added.
        if is_there(entry).unwrap_or(false) {
            carry_out(entry, Ask::Remove, &entry.remove())?;
        }
    }
    Ok(())
}

fn is_there(entry: Entry) -> anyhow::Result<bool> {
    let mut found = false;
    ask(entry, Ask::List, |item| found |= entry.is(item))
        .with_context(|| format!("cannot see whether this is done: {}", entry.add()))?;
    Ok(found)
}

fn carry_out(entry: Entry, what: Ask, shown: &Command) -> anyhow::Result<()> {
    println!("{shown}");
    ask(entry, what, |_| {}).with_context(|| format!("the kernel refuses: {shown}"))
}

/// Asks the kernel and hands out the items of its answer.
fn ask(entry: Entry, what: Ask, mut each: impl FnMut(&[u8])) -> Result<(), Errno> {
    let kind = SocketType::RAW;
    // None stands for NETLINK_ROUTE, the protocol of number 0.
    let protocol = None;
    let socket =
        rustix::net::socket_with(AddressFamily::NETLINK, kind, SocketFlags::CLOEXEC, protocol)?;
    let kernel = SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(&socket, &entry.message(what), SendFlags::empty(), &kernel)?;
    let mut buffer = vec![0; LARGEST];
    loop {
        let (received, _) = rustix::net::recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
        for answer in answers(&buffer[..received]) {
            match answer {
                Answer::Item(item) => each(item),
                Answer::Done => return Ok(()),
                Answer::Refused(error) => return Err(Errno::from_raw_os_error(error)),
            }
        }
        if received == 0 {
            return Ok(());
        }
    }
}
