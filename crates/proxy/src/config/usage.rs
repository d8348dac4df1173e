//! Which directory entries are still in use.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::telemetry::Used;

/// When the details of each entry were last used.
///
/// Workers leave no marks for this: what they have counted for the metrics names the entries, so
/// that a request pays nothing.
#[derive(Debug, Default)]
pub(super) struct Usage {
    last: HashMap<String, Instant>,
}

impl Usage {
    /// The details of an entry have been asked for.
    pub(super) fn subscribed(&mut self, host: &str, now: Instant) {
        self.last.insert(host.to_owned(), now);
    }

    /// The control plane does not know the entry, or its details have been given back.
    pub(super) fn forget(&mut self, host: &str) {
        self.last.remove(host);
    }

    /// Takes note of what was used, and gives the entries that have not been for `idle`. They are
    /// forgotten.
    pub(super) fn expire(&mut self, used: &Used, idle: Duration, now: Instant) -> Vec<String> {
        match used {
            Used::Unknown => self.last.values_mut().for_each(|last| *last = now),
            Used::Exactly(names) => {
                for name in names {
                    if let Some(last) = self.last.get_mut(name) {
                        *last = now;
                    }
                }
            }
        }
        let mut gone = Vec::new();
        self.last.retain(|host, last| {
            let keep = now.duration_since(*last) < idle;
            if !keep {
                gone.push(host.clone());
            }
            keep
        });
        gone.sort_unstable();
        gone
    }

    /// How many entries' details are subscribed to.
    pub(super) fn len(&self) -> usize {
        self.last.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn entries_expire_when_nobody_uses_them() {
        let start = Instant::now();
        let idle = Duration::from_secs(600);
        let mut usage = Usage::default();
        usage.subscribed("a", start);
        usage.subscribed("b", start);
        let used = |names: &[&str]| {
            Used::Exactly(names.iter().map(|name| (*name).to_owned()).collect::<HashSet<_>>())
        };
        assert!(usage.expire(&used(&["a", "never asked for"]), idle, start + idle / 2).is_empty());
        assert_eq!(usage.expire(&used(&[]), idle, start + idle), ["b"]);
        assert!(usage.expire(&Used::Unknown, idle, start + 2 * idle).is_empty());
        assert_eq!(usage.expire(&used(&[]), idle, start + 3 * idle), ["a"]);
        assert_eq!(usage.len(), 0);
    }
}
