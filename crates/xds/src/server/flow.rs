//! What one type of a stream is at: which response is in flight, and what a request means.

use std::collections::VecDeque;

use super::session::Update;
use crate::wire::DeltaDiscoveryRequest;

/// State of one type on one stream.
#[derive(Debug, Default)]
pub(super) struct Flow {
    sent: u64,
    in_flight: Option<InFlight>,
    waiting: VecDeque<Update>,
}

#[derive(Debug)]
struct InFlight {
    nonce: String,
    tag: u64,
}

/// What a request's nonce means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It answers nothing: the client speaks of its own accord.
    None,
    /// ACK of the update with this tag.
    Acknowledged(u64),
    /// NACK of it.
    Rejected(u64, String),
    /// It answers what is not in flight (any more); there is nothing to learn from it.
    Stale,
}

impl Flow {
    /// Takes an update; gives it back with its nonce if it is to be sent now.
    pub(super) fn offer(&mut self, update: Update) -> Option<(String, Update)> {
        if self.in_flight.is_some() {
            self.waiting.push_back(update);
            return None;
        }
        Some(self.start(update))
    }

    /// What is to be sent now that the answer came.
    pub(super) fn next(&mut self) -> Option<(String, Update)> {
        if self.in_flight.is_some() {
            return None;
        }
        self.waiting.pop_front().map(|update| self.start(update))
    }

    /// Whether an update waits for an answer to the one before.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Reads the answer out of a request.
    pub(super) fn answer(&mut self, request: &DeltaDiscoveryRequest) -> Answer {
        if request.response_nonce.is_empty() {
            return Answer::None;
        }
        match self.in_flight.take_if(|flight| flight.nonce == request.response_nonce) {
            None => Answer::Stale,
            Some(flight) => match &request.error_detail {
                None => Answer::Acknowledged(flight.tag),
                Some(detail) => Answer::Rejected(flight.tag, detail.message.clone()),
            },
        }
    }

    fn start(&mut self, update: Update) -> (String, Update) {
        self.sent += 1;
        let nonce = self.sent.to_string();
        self.in_flight = Some(InFlight { nonce: nonce.clone(), tag: update.tag });
        (nonce, update)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Status;

    fn update(tag: u64) -> Update {
        Update {
            type_url: "t".into(),
            resources: Vec::new(),
            removed: Vec::new(),
            system_version: "".into(),
            tag,
        }
    }

    fn request(nonce: &str, error: Option<&str>) -> DeltaDiscoveryRequest {
        DeltaDiscoveryRequest {
            response_nonce: nonce.to_owned(),
            error_detail: error
                .map(|message| Status { message: message.to_owned(), ..Status::default() }),
            ..DeltaDiscoveryRequest::default()
        }
    }

    #[test]
    fn one_update_is_in_flight() {
        let mut flow = Flow::default();
        assert_eq!(flow.offer(update(10)), Some(("1".to_owned(), update(10))));
        assert_eq!(flow.offer(update(11)), None);
        assert!(flow.is_waiting());
        assert_eq!(flow.next(), None);

        assert_eq!(flow.answer(&request("", None)), Answer::None);
        assert_eq!(flow.answer(&request("7", None)), Answer::Stale);
        assert_eq!(flow.answer(&request("1", None)), Answer::Acknowledged(10));
        assert_eq!(flow.answer(&request("1", None)), Answer::Stale);

        assert_eq!(flow.next(), Some(("2".to_owned(), update(11))));
        assert!(!flow.is_waiting());
        let refused = flow.answer(&request("2", Some("no such port")));
        assert_eq!(refused, Answer::Rejected(11, "no such port".to_owned()));
        assert_eq!(flow.next(), None);
    }
}
