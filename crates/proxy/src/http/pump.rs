//! Moves a body onto an HTTP/2 stream at the pace that its flow control allows.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use bytes::Bytes;
use h2::SendStream;
use http_body::{Body, Frame};

use super::exchange::StreamError;

/// Sends a body to its end. On an error the caller decides how the stream is reset.
///
/// At most one piece of the body is held; the next is asked for when it has been handed to h2.
///
/// # Errors
/// Of the body, or of the stream: it was reset, or its connection ended.
pub(super) async fn pump<B>(
    mut body: Pin<&mut B>,
    stream: &mut SendStream<Bytes>,
) -> Result<(), StreamError>
where
    B: Body<Data = Bytes, Error = StreamError>,
{
    while let Some(frame) = next_frame(body.as_mut(), stream).await? {
        match frame.into_data() {
            Ok(data) => {
                let last = body.is_end_stream();
                send_data(stream, data, last).await?;
                if last {
                    return Ok(());
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    stream.send_trailers(trailers)?;
                    return Ok(());
                }
            }
        }
    }
    stream.send_data(Bytes::new(), true)?;
    Ok(())
}

/// The body's next frame, or the error with which the stream ended meanwhile.
async fn next_frame<B>(
    mut body: Pin<&mut B>,
    stream: &mut SendStream<Bytes>,
) -> Result<Option<Frame<Bytes>>, StreamError>
where
    B: Body<Data = Bytes, Error = StreamError>,
{
    poll_fn(|cx| {
        if let Poll::Ready(frame) = body.as_mut().poll_frame(cx) {
            return Poll::Ready(frame.transpose());
        }
        match stream.poll_reset(cx) {
            Poll::Ready(Ok(reason)) => Poll::Ready(Err(StreamError::Reset(reason))),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

async fn send_data(
    stream: &mut SendStream<Bytes>,
    mut data: Bytes,
    last: bool,
) -> Result<(), StreamError> {
    if data.is_empty() {
        if last {
            stream.send_data(data, true)?;
        }
        return Ok(());
    }
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        let capacity = match stream.capacity() {
            0 => match poll_fn(|cx| stream.poll_capacity(cx)).await {
                Some(capacity) => capacity?,
                None => return Err(StreamError::Lost),
            },
            capacity => capacity,
        };
        if capacity == 0 {
            continue;
        }
        let piece = data.split_to(capacity.min(data.len()));
        stream.send_data(piece, last && data.is_empty())?;
    }
    Ok(())
}
