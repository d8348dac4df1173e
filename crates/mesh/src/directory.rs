//! Hosts in a slice of the directory: what those of Kubernetes' services end with is said once.

use std::borrow::Cow;

use crate::v1::{DirectoryEntry, DirectorySlice};

impl DirectorySlice {
    /// A slice of entries with whole hosts; those in `domain` are cut short.
    #[must_use]
    pub fn within(namespace: String, domain: &str, mut entries: Vec<DirectoryEntry>) -> Self {
        let short = |host: &str| {
            let rest = host.strip_suffix(domain)?;
            rest.ends_with('.').then_some(rest.len())
        };
        // A host that ends with a dot by itself would be read as one that was cut short.
        let is_plain = entries.iter().all(|entry| !entry.host.ends_with('.'));
        let mut is_cut = false;
        if is_plain && !domain.is_empty() {
            for entry in &mut entries {
                if let Some(length) = short(&entry.host) {
                    entry.host.truncate(length);
                    is_cut = true;
                }
            }
        }
        let domain = if is_cut { domain.to_owned() } else { String::new() };
        Self { namespace, entries, domain }
    }

    /// The whole host of one of the entries.
    #[must_use]
    pub fn host<'s>(&'s self, entry: &'s DirectoryEntry) -> Cow<'s, str> {
        let host = &entry.host;
        if self.domain.is_empty() || !host.ends_with('.') {
            return host.into();
        }
        format!("{host}{}", self.domain).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_cut_short_and_made_whole_again() {
        let domain = "shop.svc.cluster.local";
        for (hosts, on_the_wire) in [
            (
                vec!["web.shop.svc.cluster.local", "*.shop.svc.cluster.local", "example.com"],
                vec!["web.", "*.", "example.com"],
            ),
            // Not a label of its own before the domain; another namespace; the domain itself.
            (
                vec!["workshop.svc.cluster.local", "web.bar.svc.cluster.local", domain],
                vec!["workshop.svc.cluster.local", "web.bar.svc.cluster.local", domain],
            ),
            // One ends with a dot: all stay whole.
            (
                vec!["odd.", "web.shop.svc.cluster.local"],
                vec!["odd.", "web.shop.svc.cluster.local"],
            ),
            (vec![], vec![]),
        ] {
            let entry =
                |host: &&str| DirectoryEntry { host: (*host).to_owned(), ..Default::default() };
            let entries: Vec<_> = hosts.iter().map(entry).collect();
            let slice = DirectorySlice::within("shop".to_owned(), domain, entries);
            let sent: Vec<_> = slice.entries.iter().map(|entry| entry.host.as_str()).collect();
            assert_eq!(sent, on_the_wire);
            let whole: Vec<_> = slice.entries.iter().map(|entry| slice.host(entry)).collect();
            assert_eq!(whole, hosts);
        }
    }
}
