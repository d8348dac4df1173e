//! Responses as pieces of bytes.
//!
//! A response is encoded by hand rather than by a codec, so that a body that a thousand clients
//! receive exists once: small bodies are copied into the piece around them, larger ones are
//! pieces of their own and shared by reference down to the socket's TLS layer. So a slow client
//! holds on to bytes that are there anyway. They are put together again, a frame at a time, when
//! the connection takes them: thousands of writes of a kilobyte cost far more than to copy it.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;
use http_body::Frame;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint};
use tokio::sync::mpsc;
use tonic::Status;

use super::session::Update;
use crate::Resource;

/// From this size on a body is sent by reference: an HTTP/2 DATA frame and a piece of the send
/// queue of its own cost about as much as copying this many bytes.
const SHARED_FROM: usize = 1024;

/// Pieces that follow each other leave together up to this size: HTTP/2's largest frame where the client
/// asks for no other. Each frame is a write to the socket.
const FRAME: usize = 16 << 10;

/// `application/grpc` prefix of a message: not compressed, and its length in four bytes.
const PREFIX: usize = 5;

/// Field numbers of Envoy's messages.
mod field {
    pub(super) const RESPONSE_SYSTEM_VERSION: u32 = 1;
    pub(super) const RESPONSE_RESOURCES: u32 = 2;
    pub(super) const RESPONSE_TYPE_URL: u32 = 4;
    pub(super) const RESPONSE_NONCE: u32 = 5;
    pub(super) const RESPONSE_REMOVED: u32 = 6;
    pub(super) const RESOURCE_VERSION: u32 = 1;
    pub(super) const RESOURCE_BODY: u32 = 2;
    pub(super) const RESOURCE_NAME: u32 = 3;
    pub(super) const ANY_TYPE_URL: u32 = 1;
    pub(super) const ANY_VALUE: u32 = 2;
}

/// The pieces of a gRPC message that carries `update`. `None` where it is larger than gRPC can
/// say (4 GiB).
pub(super) fn encode(update: &Update, nonce: &str) -> Option<VecDeque<Bytes>> {
    let texts = text_len(&update.system_version) + text_len(&update.type_url) + text_len(nonce);
    let removed: usize = update.removed.iter().map(|name| text_len(name)).sum();
    let sizes: Vec<Sizes> =
        update.resources.iter().map(|resource| Sizes::of(resource, &update.type_url)).collect();
    let resources: usize = sizes.iter().map(|sizes| delimited_len(sizes.resource)).sum();
    let length = u32::try_from(texts + removed + resources).ok()?;

    let mut pieces = Pieces { done: VecDeque::new(), open: BytesMut::new() };
    let by_reference: usize = update
        .resources
        .iter()
        .map(|resource| resource.body.len())
        .filter(|size| *size >= SHARED_FROM)
        .sum();
    pieces.open.reserve(PREFIX + length as usize - by_reference);
    pieces.open.put_u8(0);
    pieces.open.put_u32(length);
    pieces.text(field::RESPONSE_SYSTEM_VERSION, &update.system_version);
    pieces.text(field::RESPONSE_TYPE_URL, &update.type_url);
    pieces.text(field::RESPONSE_NONCE, nonce);
    for (resource, sizes) in update.resources.iter().zip(&sizes) {
        pieces.delimited(field::RESPONSE_RESOURCES, sizes.resource);
        pieces.text(field::RESOURCE_VERSION, &resource.version);
        pieces.text(field::RESOURCE_NAME, &resource.name);
        pieces.delimited(field::RESOURCE_BODY, sizes.any);
        pieces.text(field::ANY_TYPE_URL, &update.type_url);
        pieces.body(field::ANY_VALUE, &resource.body);
    }
    for name in &update.removed {
        pieces.text(field::RESPONSE_REMOVED, name);
    }
    Some(pieces.finish())
}

/// Lengths of the nested messages of one resource.
struct Sizes {
    resource: usize,
    any: usize,
}

impl Sizes {
    fn of(resource: &Resource, type_url: &str) -> Self {
        let body = match resource.body.len() {
            0 => 0,
            length => delimited_len(length),
        };
        let any = text_len(type_url) + body;
        let texts = text_len(&resource.version) + text_len(&resource.name);
        Self { resource: texts + delimited_len(any), any }
    }
}

/// Every field number above is below 16, so that a key is one byte.
fn delimited_len(length: usize) -> usize {
    1 + encoded_len_varint(length as u64) + length
}

/// Proto3 leaves out what is empty, but for the elements of lists, which are never empty here.
fn text_len(text: &str) -> usize {
    if text.is_empty() { 0 } else { delimited_len(text.len()) }
}

struct Pieces {
    done: VecDeque<Bytes>,
    open: BytesMut,
}

impl Pieces {
    fn delimited(&mut self, number: u32, length: usize) {
        encode_key(number, WireType::LengthDelimited, &mut self.open);
        encode_varint(length as u64, &mut self.open);
    }

    fn text(&mut self, number: u32, text: &str) {
        if !text.is_empty() {
            self.delimited(number, text.len());
            self.open.put_slice(text.as_bytes());
        }
    }

    fn body(&mut self, number: u32, body: &Bytes) {
        if body.is_empty() {
            return;
        }
        self.delimited(number, body.len());
        if body.len() < SHARED_FROM {
            self.open.put_slice(body);
        } else {
            self.done.push_back(self.open.split().freeze());
            self.done.push_back(body.clone());
        }
    }

    fn finish(mut self) -> VecDeque<Bytes> {
        if !self.open.is_empty() {
            self.done.push_back(self.open.freeze());
        }
        self.done
    }
}

/// What a stream's driver gives to the body.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// Pieces of one message.
    Message(VecDeque<Bytes>),
    /// The end.
    End(Status),
}

/// The body of the response to the call: messages as they come, then the status.
#[derive(Debug)]
pub(super) struct ResponseBody {
    outgoing: mpsc::Receiver<Outgoing>,
    pieces: VecDeque<Bytes>,
    ended: bool,
}

impl ResponseBody {
    pub(super) fn new(outgoing: mpsc::Receiver<Outgoing>) -> Self {
        Self { outgoing, pieces: VecDeque::new(), ended: false }
    }
}

/// Takes what leaves next: a piece, with those after it that fit into a frame with it.
fn next_frame(pieces: &mut VecDeque<Bytes>) -> Option<Bytes> {
    let first = pieces.pop_front()?;
    let mut length = first.len();
    let fitting = pieces.iter().take_while(|piece| {
        length += piece.len();
        length <= FRAME
    });
    let count = fitting.count();
    if count == 0 {
        return Some(first);
    }
    let mut frame = BytesMut::with_capacity(length.min(FRAME));
    frame.put(first);
    for piece in pieces.drain(..count) {
        frame.put(piece);
    }
    Some(frame.freeze())
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        loop {
            if let Some(frame) = next_frame(&mut this.pieces) {
                return Poll::Ready(Some(Ok(Frame::data(frame))));
            }
            if this.ended {
                return Poll::Ready(None);
            }
            let status = match std::task::ready!(this.outgoing.poll_recv(context)) {
                Some(Outgoing::Message(pieces)) => {
                    this.pieces = pieces;
                    continue;
                }
                Some(Outgoing::End(status)) => status,
                None => Status::ok(""),
            };
            this.ended = true;
            let mut trailers = HeaderMap::new();
            return Poll::Ready(Some(
                status.add_header(&mut trailers).map(|()| Frame::trailers(trailers)),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Buf;
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::wire;

    fn wire_form(update: &Update, nonce: &str) -> wire::DeltaDiscoveryResponse {
        let resource = |resource: &Resource| wire::Resource {
            version: resource.version.to_string(),
            resource: Some(wire::Any {
                type_url: update.type_url.to_string(),
                value: resource.body.clone(),
            }),
            name: resource.name.to_string(),
            aliases: Vec::new(),
        };
        wire::DeltaDiscoveryResponse {
            system_version_info: update.system_version.to_string(),
            resources: update.resources.iter().map(resource).collect(),
            type_url: update.type_url.to_string(),
            nonce: nonce.to_owned(),
            removed_resources: update.removed.iter().map(ToString::to_string).collect(),
        }
    }

    proptest! {
        #[test]
        fn pieces_are_what_prost_reads(
            resources in prop::collection::vec(("[a-z/]{1,20}", "[0-9a-f]{0,32}", 0_usize..5000), 0..8),
            removed in prop::collection::vec("[a-z/]{1,200}", 0..4),
            type_url in "[a-z.]{0,40}",
            system_version in "[0-9]{0,4}",
            nonce in "[0-9]{0,9}",
        ) {
            let update = Update {
                type_url: type_url.into(),
                resources: resources
                    .into_iter()
                    .map(|(name, version, size)| Resource {
                        name: name.into(),
                        version: version.into(),
                        body: vec![0xa5; size].into(),
                    })
                    .collect(),
                removed: removed.into_iter().map(Into::into).collect(),
                system_version: system_version.into(),
                tag: 0,
            };
            let mut whole = BytesMut::new();
            for piece in encode(&update, &nonce).unwrap() {
                prop_assert!(!piece.is_empty());
                whole.put(piece);
            }
            prop_assert_eq!(whole.get_u8(), 0);
            prop_assert_eq!(whole.get_u32() as usize, whole.len());
            let read = wire::DeltaDiscoveryResponse::decode(whole.freeze()).unwrap();
            prop_assert_eq!(read, wire_form(&update, &nonce));
        }
    }

    #[test]
    fn pieces_leave_together_up_to_a_frame() {
        for (pieces, expected) in [
            (vec![], vec![]),
            (vec![FRAME + 1], vec![FRAME + 1]),
            (vec![200, 1200, 200, 1200], vec![2800]),
            (vec![FRAME - 1, 1, 1], vec![FRAME, 1]),
            (vec![FRAME, 10, 3 * FRAME, 10, 20], vec![FRAME, 10, 3 * FRAME, 30]),
        ] {
            let bytes = |size: &usize| -> Bytes { (0..=250).cycle().take(*size).collect() };
            let mut left: VecDeque<Bytes> = pieces.iter().map(bytes).collect();
            let whole: Vec<u8> = left.iter().flatten().copied().collect();
            let frames: Vec<Bytes> = std::iter::from_fn(|| next_frame(&mut left)).collect();
            assert_eq!(frames.iter().map(Bytes::len).collect::<Vec<_>>(), expected, "{pieces:?}");
            assert_eq!(frames.concat(), whole, "{pieces:?}");
        }
        // One that leaves alone is not copied.
        let large = Bytes::from(vec![1; FRAME]);
        let frame = next_frame(&mut [large.clone()].into()).unwrap();
        assert_eq!(frame.as_ptr(), large.as_ptr());
    }

    #[test]
    fn large_bodies_are_shared() {
        let body = Bytes::from(vec![1; SHARED_FROM]);
        let resource = |name: &str, body: &Bytes| Resource {
            name: name.into(),
            version: "1".into(),
            body: body.clone(),
        };
        let update = Update {
            type_url: "t".into(),
            resources: vec![resource("large", &body), resource("small", &body.slice(1..))],
            removed: Vec::new(),
            system_version: "".into(),
            tag: 0,
        };
        let pieces = encode(&update, "1").unwrap();
        assert_eq!(pieces.len(), 3);
        assert_eq!(pieces[1].as_ptr(), body.as_ptr());
    }
}
