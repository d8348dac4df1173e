//! The conversation between two processes.
//!
//! The predecessor sends a parcel (4 bytes length, then a protobuf message), then one byte for each
//! batch of sockets that is attached to it. The successor answers with one byte when it is ready.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use bytes::Bytes;
use prost::Message;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::{HandoverError, Resource};

/// Of this conversation. Fields of the parcel may be added without a new one.
pub(super) const VERSION: u32 = 1;

/// A parcel is never larger: configuration of a large mesh is some tens of megabytes.
const PARCEL_LIMIT: usize = 1 << 30;

/// The kernel takes 253 descriptors with one message.
const BATCH: usize = 250;

const SOCKETS: u8 = b'S';
const READY: u8 = b'R';

/// Everything but the sockets.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Parcel {
    #[prost(uint32, tag = "1")]
    pub(super) version: u32,
    #[prost(uint32, tag = "2")]
    pub(super) sockets: u32,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(super) certificate: Option<Bytes>,
    #[prost(message, repeated, tag = "4")]
    pub(super) resources: Vec<WireResource>,
}

/// A resource of the configuration.
#[derive(Clone, PartialEq, Message)]
pub(super) struct WireResource {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
    #[prost(bytes = "bytes", tag = "3")]
    body: Bytes,
}

impl From<&Resource> for WireResource {
    fn from(resource: &Resource) -> Self {
        let Resource { name, version, body } = resource.clone();
        Self { name, version, body }
    }
}

impl From<WireResource> for Resource {
    fn from(WireResource { name, version, body }: WireResource) -> Self {
        Self { name, version, body }
    }
}

pub(super) fn send(stream: &mut UnixStream, parcel: &Parcel) -> io::Result<()> {
    let bytes = parcel.encode_to_vec();
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(&bytes)
}

pub(super) fn receive(stream: &mut UnixStream) -> Result<Parcel, HandoverError> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > PARCEL_LIMIT {
        return Err(HandoverError::Unreadable(format!("a parcel of {length} bytes")));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Parcel::decode(Bytes::from(bytes)).map_err(|error| HandoverError::Unreadable(error.to_string()))
}

pub(super) fn send_sockets(stream: &UnixStream, sockets: &[OwnedFd]) -> io::Result<()> {
    for batch in sockets.chunks(BATCH) {
        let batch: Vec<BorrowedFd<'_>> = batch.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(&batch)) {
            return Err(io::Error::other("a batch of sockets does not fit"));
        }
        sendmsg(stream, &[IoSlice::new(&[SOCKETS])], &mut ancillary, SendFlags::NOSIGNAL)?;
    }
    Ok(())
}

pub(super) fn receive_sockets(
    stream: &UnixStream,
    count: u32,
) -> Result<Vec<OwnedFd>, HandoverError> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let mut sockets = Vec::new();
    while sockets.len() < count {
        let mut byte = [0];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(BATCH))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = recvmsg(stream, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, flags)
            .map_err(io::Error::from)?;
        let before = sockets.len();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(batch) = message {
                sockets.extend(batch);
            }
        }
        if received.bytes == 0 || byte != [SOCKETS] || sockets.len() == before {
            return Err(HandoverError::Unreadable(format!(
                "{} of {count} sockets arrived",
                sockets.len()
            )));
        }
    }
    Ok(sockets)
}

pub(super) fn send_ready(stream: &mut UnixStream) -> io::Result<()> {
    stream.write_all(&[READY])
}

pub(super) fn receive_ready(stream: &mut UnixStream) -> Result<(), HandoverError> {
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    match byte {
        [READY] => Ok(()),
        [other] => Err(HandoverError::Unreadable(format!("the answer {other}"))),
    }
}
