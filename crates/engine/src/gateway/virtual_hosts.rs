//! The tables of a gateway's virtual hosts.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::authority;
use crate::directory::host_matches;
use crate::explain::{Trace, What};
use crate::route::Table;

/// Tables by the pattern of their host.
#[derive(Debug, Default)]
pub(super) struct VirtualHosts {
    exact: FxHashMap<Box<str>, Arc<Table>>,
    /// `*.suffix` by `.suffix`; `*` by the empty text.
    wildcards: FxHashMap<Box<str>, Arc<Table>>,
    pub(super) in_order: Vec<Arc<Table>>,
}

impl VirtualHosts {
    pub(super) fn new(tables: impl Iterator<Item = Arc<Table>>) -> Self {
        let mut hosts = Self::default();
        for table in tables {
            hosts.in_order.push(Arc::clone(&table));
            let (map, key) = match table.host.strip_prefix('*') {
                Some(suffix) => (&mut hosts.wildcards, suffix),
                None => (&mut hosts.exact, &*table.host),
            };
            map.entry(key.into()).or_insert(table);
        }
        hosts
    }

    pub(super) fn find(&self, host: &str) -> Option<&Arc<Table>> {
        self.exact
            .get(host)
            .or_else(|| authority::parents(host).find_map(|suffix| self.wildcards.get(suffix)))
            .or_else(|| self.wildcards.get(""))
    }

    pub(super) fn find_in_order<T: Trace>(&self, host: &str, trace: &mut T) -> Option<&Arc<Table>> {
        let mut best: Option<(Fit, &Arc<Table>)> = None;
        for table in &self.in_order {
            let fit = fit_of(&table.host, Some(host));
            if let Some(fit) = fit
                && best.is_none_or(|(before, _)| fit > before)
            {
                best = Some((fit, table));
            }
        }
        for table in &self.in_order {
            let chosen = best.is_some_and(|(_, best)| Arc::ptr_eq(best, table));
            trace.step(What::Server, &table.origin, chosen, || {
                match (chosen, host_matches(&table.host, host)) {
                    (true, _) => format!("virtual host {} is the best for {host}", table.host),
                    (false, true) => format!("virtual host {} fits {host} less well", table.host),
                    (false, false) => format!("virtual host {} is not {host}", table.host),
                }
            });
        }
        best.map(|(_, table)| table)
    }
}

/// How well a pattern fits a name: exact before wildcards, longer before shorter.
pub(super) type Fit = (bool, usize);

pub(super) fn fit_of(pattern: &str, name: Option<&str>) -> Option<Fit> {
    let fits = pattern == "*" || name.is_some_and(|name| host_matches(pattern, name));
    fits.then_some((!pattern.starts_with('*'), pattern.len()))
}
