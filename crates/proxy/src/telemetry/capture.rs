//! The headers that the access log shows, kept while an exchange lasts.

use http::{HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

use super::SharedFormat;

/// The headers that the access log in force at the start of an exchange shows.
///
/// The request's headers move on to the upstream, so what the log needs of them is cloned (a
/// reference count each) before.
#[derive(Debug, Default)]
pub struct Captured {
    format: Option<SharedFormat>,
    request: Values,
    response: Values,
    trailers: Values,
}

type Values = SmallVec<[Option<HeaderValue>; 4]>;

impl Captured {
    /// Keeps nothing yet; `format` is the access log in force, if there is one.
    pub(super) fn new(format: Option<SharedFormat>) -> Self {
        Self { format, ..Self::default() }
    }

    /// Keeps what is needed of the request: call it when the headers are what will be sent.
    pub fn request(&mut self, headers: &HeaderMap) {
        if let Some(format) = &self.format {
            self.request = pick(&format.request_headers, headers);
        }
    }

    /// Keeps what is needed of the response: call it when the headers are what will be sent.
    pub fn response(&mut self, headers: &HeaderMap) {
        if let Some(format) = &self.format {
            self.response = pick(&format.response_headers, headers);
        }
    }

    /// Keeps what is needed of the response's trailers.
    pub fn trailers(&mut self, trailers: &HeaderMap) {
        if let Some(format) = &self.format {
            self.trailers = pick(&format.response_trailers, trailers);
        }
    }

    /// The access log that was in force when the exchange began.
    pub(super) fn format(&self) -> Option<&SharedFormat> {
        self.format.as_ref()
    }

    /// The value at `index` of the format's `request_headers`.
    pub(super) fn request_value(&self, index: usize) -> Option<&HeaderValue> {
        self.request.get(index)?.as_ref()
    }

    /// The value at `index` of the format's `response_headers`.
    pub(super) fn response_value(&self, index: usize) -> Option<&HeaderValue> {
        self.response.get(index)?.as_ref()
    }

    /// The value at `index` of the format's `response_trailers`.
    pub(super) fn trailer_value(&self, index: usize) -> Option<&HeaderValue> {
        self.trailers.get(index)?.as_ref()
    }
}

fn pick(names: &[HeaderName], headers: &HeaderMap) -> Values {
    names.iter().map(|name| headers.get(name).cloned()).collect()
}
