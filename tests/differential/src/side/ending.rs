//! What a scenario came to, and the lines of the access log about it, which come later than answers.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::access_log::{self, Entries, PATIENCE};
use super::client::Sent;
use super::mesh::Mesh;
use super::process::Tail;
use super::protocol::{Prepared, Ran};
use crate::observe::Exchanged;
use crate::scenario::Place;

/// How long nothing may come before nothing more is likely to: proxies write their lines every few
/// milliseconds.
const QUIET: Duration = Duration::from_millis(60);
/// How long a line may take on a busy machine.
const LATE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(2);

const PLACES: [Place; 3] = [Place::Outbound, Place::Inbound, Place::Gateway];

/// How long lines are waited for that are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Until none came for a while. Of some exchanges no side logs anything.
    Brief,
    /// As long as a line may take, since what is expected of it is asked at once.
    Long,
    /// On a busy machine, too: the other side has the line, or it is expected.
    Late,
}

/// What was sent and seen, while lines about it may still come.
#[derive(Default)]
pub struct Ending {
    /// Exchange by exchange, request by request.
    pub sent: Vec<(Place, Vec<Vec<Sent>>)>,
    /// How long the mesh took, in milliseconds.
    pub switch: u64,
    /// How long the exchanges took, in milliseconds.
    pub exchanging: u64,
    /// The log of all proxies, where the mesh says itself where it goes.
    own_file: Option<Tail>,
    /// The lines have a format of the mesh's own.
    own_format: bool,
    entries: BTreeMap<Place, Entries>,
}

impl Ending {
    /// Nothing was sent yet. What an own log file holds by now is of others.
    ///
    /// # Errors
    /// When that file cannot be read.
    pub fn new(prepared: &Prepared) -> std::io::Result<Self> {
        let mut own_file = prepared.log_file.clone().map(Tail::new);
        if let Some(tail) = &mut own_file {
            tail.lines()?;
        }
        Ok(Self { own_file, own_format: prepared.own_log_format, ..Self::default() })
    }

    /// Waits for the lines of one exchange, where their format does not tell whose they are.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn whole_lines(
        &mut self,
        mesh: &mut Mesh,
        place: Place,
        sent: &mut [Vec<Sent>],
    ) -> std::io::Result<()> {
        if !self.own_format {
            return Ok(());
        }
        let Some(tail) = self.own_file.as_mut().or_else(|| mesh.access_log(place)) else {
            return Ok(());
        };
        let count = sent.iter().map(Vec::len).sum();
        let mut lines = access_log::next_lines(tail, count).await?.into_iter();
        for sent in sent.iter_mut().flatten() {
            sent.observed.lines.extend(lines.next());
        }
        Ok(())
    }

    /// Gives every request the entries of the log about it.
    ///
    /// # Errors
    /// When a log cannot be read.
    pub async fn gather(&mut self, mesh: &mut Mesh, patience: Patience) -> std::io::Result<()> {
        if self.own_format {
            return Ok(());
        }
        let limit = Instant::now() + if patience == Patience::Late { LATE } else { PATIENCE };
        let mut quiet = Instant::now() + QUIET;
        loop {
            let (came, missing) = self.read(mesh)?;
            let now = Instant::now();
            if came {
                quiet = now + QUIET;
            }
            let is_over = patience == Patience::Brief && now >= quiet;
            if missing == 0 || is_over || now >= limit {
                return Ok(());
            }
            sleep(PAUSE).await;
        }
    }

    /// Whether something came, and how many requests have no entry.
    fn read(&mut self, mesh: &mut Mesh) -> std::io::Result<(bool, usize)> {
        let (mut came, mut missing) = (false, 0);
        for place in PLACES {
            let (tail, of) = match &mut self.own_file {
                // One file for all: its entries are not told apart.
                Some(tail) => (Some(tail), PLACES[0]),
                None => (mesh.access_log(place), place),
            };
            let entries = self.entries.entry(of).or_default();
            if let Some(tail) = tail {
                came |= entries.read(tail)?;
            }
            let here = self.sent.iter_mut().filter(|(at, _)| *at == place);
            missing += entries.give(here.flat_map(|(_, sent)| sent.iter_mut().flatten()));
        }
        Ok((came, missing))
    }

    /// What was seen so far.
    pub fn ran(&self) -> Ran {
        let exchanges = self.sent.iter().map(|(_, sent)| {
            let seen = sent.iter().map(|times| times.iter().map(|sent| sent.observed.clone()));
            Exchanged(seen.map(Iterator::collect).collect())
        });
        let exchanges = exchanges.collect();
        Ran { exchanges, switch: self.switch, exchanging: self.exchanging }
    }
}
