//! From the lines of an access log to the requests that they are about.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::client::Sent;
use super::process::Tail;

/// How long a line may take; one that is not there then is missing.
const PATIENCE: Duration = Duration::from_millis(800);
const PAUSE: Duration = Duration::from_millis(2);

/// The entries of the log so far, not given to anybody yet.
#[derive(Default)]
pub struct Entries {
    by_tag: HashMap<String, Vec<BTreeMap<String, String>>>,
    by_address: HashMap<String, Vec<BTreeMap<String, String>>>,
}

impl Entries {
    fn read(&mut self, tail: &mut Tail) -> std::io::Result<()> {
        for line in tail.lines()? {
            let Ok(Value::Object(map)) = serde_json::from_str(&line) else { continue };
            let mut entry: BTreeMap<String, String> =
                map.into_iter().map(|(key, value)| (key, text(value))).collect();
            let tag = entry.remove("tag").unwrap_or_default();
            let address = entry.remove("remote").unwrap_or_default();
            let (list, key) = match tag.is_empty() || tag == "-" {
                true => (&mut self.by_address, address),
                false => (&mut self.by_tag, tag),
            };
            list.entry(key).or_default().push(entry);
        }
        Ok(())
    }

    /// Gives every request its entries, and waits until each has one.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn give<'a>(
        &mut self,
        tail: &mut Tail,
        sent: impl Iterator<Item = &'a mut Sent>,
    ) -> std::io::Result<()> {
        let limit = Instant::now() + PATIENCE;
        let mut waiting: Vec<&mut Sent> = sent.filter(|sent| sent.from.is_some()).collect();
        loop {
            self.read(tail)?;
            waiting.retain_mut(|sent| {
                let address = sent.from.map(|from| from.to_string()).unwrap_or_default();
                let by_tag = self.by_tag.remove(&sent.tag);
                let found = by_tag.or_else(|| self.by_address.remove(&address));
                sent.observed.log.extend(found.into_iter().flatten());
                sent.observed.log.is_empty()
            });
            if waiting.is_empty() || Instant::now() >= limit {
                return Ok(());
            }
            sleep(PAUSE).await;
        }
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
