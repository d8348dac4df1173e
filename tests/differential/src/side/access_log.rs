//! From the lines of an access log to the requests that they are about.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::client::Sent;
use super::process::Tail;

/// How long a line may take; one that is not there then is missing.
pub const PATIENCE: Duration = Duration::from_millis(800);
const PAUSE: Duration = Duration::from_millis(2);

/// The entries of the log so far, not given to anybody yet.
#[derive(Default)]
pub struct Entries {
    by_tag: HashMap<String, Vec<BTreeMap<String, String>>>,
    by_address: HashMap<String, VecDeque<BTreeMap<String, String>>>,
}

impl Entries {
    /// Reads what was written since the last time; whether there was anything.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn read(&mut self, tail: &mut Tail) -> std::io::Result<bool> {
        let lines = tail.lines()?;
        let came = !lines.is_empty();
        for line in lines {
            let Ok(Value::Object(map)) = serde_json::from_str(&line) else { continue };
            let mut entry: BTreeMap<String, String> =
                map.into_iter().map(|(key, value)| (key, text(value))).collect();
            let tag = entry.remove("tag").unwrap_or_default();
            let address = entry.remove("remote").unwrap_or_default();
            match tag.is_empty() || tag == "-" {
                true => self.by_address.entry(address).or_default().push_back(entry),
                false => self.by_tag.entry(tag).or_default().push(entry),
            }
        }
        Ok(came)
    }

    /// Gives every request that has none yet its entries; how many still have none.
    pub fn give<'a>(&mut self, sent: impl Iterator<Item = &'a mut Sent>) -> usize {
        let mut missing = 0;
        for sent in sent.filter(|sent| sent.observed.log.is_empty()) {
            let Some(from) = sent.from else { continue };
            let by_tag = self.by_tag.remove(&sent.tag);
            match by_tag {
                Some(found) => sent.observed.log.extend(found),
                // A port may be used again: one entry for each connection, in order.
                None => {
                    let queue = self.by_address.get_mut(&from.to_string());
                    sent.observed.log.extend(queue.and_then(VecDeque::pop_front));
                }
            }
            missing += usize::from(sent.observed.log.is_empty());
        }
        missing
    }
}

/// Waits for the next lines of a log whose format is the mesh's own.
///
/// # Errors
/// When the log cannot be read.
pub async fn next_lines(tail: &mut Tail, wanted: usize) -> std::io::Result<Vec<String>> {
    let limit = Instant::now() + PATIENCE;
    let mut lines = Vec::new();
    loop {
        lines.extend(tail.lines()?);
        if lines.len() >= wanted || Instant::now() >= limit {
            return Ok(lines);
        }
        sleep(PAUSE).await;
    }
}

fn text(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) if text == "-" => String::new(),
        Value::String(text) => text,
        other => other.to_string(),
    }
}
