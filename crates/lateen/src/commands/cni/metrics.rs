//! What the agent counts, under Istio's names where it counts the same.

use std::fmt::Write;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};

const UNKNOWN: u8 = 2;

/// The agent's counters.
#[derive(Debug)]
pub(super) struct Metrics {
    /// 0, 1, or not known yet.
    ready: AtomicU8,
    installs: [AtomicU64; 2],
    repairs: [AtomicU64; 2],
    /// Questions of the plugin, by what became of them.
    questions: [AtomicU64; 4],
}

/// What became of a question.
#[derive(Debug, Clone, Copy)]
pub(super) enum Became {
    Captured,
    Left,
    Refused,
    Unknown,
}

const BECAME: [(Became, &str); 4] = [
    (Became::Captured, "captured"),
    (Became::Left, "left"),
    (Became::Refused, "refused"),
    (Became::Unknown, "unknown"),
];

impl Metrics {
    pub(super) fn new() -> Self {
        Self {
            ready: AtomicU8::new(UNKNOWN),
            installs: Default::default(),
            repairs: Default::default(),
            questions: Default::default(),
        }
    }

    /// Whether the plugin is in place.
    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Relaxed) == 1
    }

    /// Notes it; what was known before.
    pub(super) fn set_ready(&self, ready: bool) -> Option<bool> {
        match self.ready.swap(u8::from(ready), Relaxed) {
            UNKNOWN => None,
            before => Some(before == 1),
        }
    }

    pub(super) fn installed(&self, well: bool) {
        self.installs[usize::from(well)].fetch_add(1, Relaxed);
    }

    pub(super) fn repaired(&self, well: bool) {
        self.repairs[usize::from(well)].fetch_add(1, Relaxed);
    }

    pub(super) fn asked(&self, became: Became) {
        self.questions[became as usize].fetch_add(1, Relaxed);
    }

    /// Everything, in Prometheus' text format; `remedy` is how pods are repaired.
    pub(super) fn text(&self, remedy: &str) -> String {
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, samples: &[(String, u64)]| {
            // Writing into a text does not fail.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
            for (labels, value) in samples {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        };
        let ready = u64::from(self.is_ready());
        let help = "Whether the plugin is in place.";
        family("istio_cni_install_ready", "gauge", help, &[(String::new(), ready)]);
        let results = |counters: &[AtomicU64; 2], more: &str, names: [&str; 2]| {
            let each = counters.iter().zip(names);
            each.map(|(counter, name)| {
                (format!("{{{more}result=\"{name}\"}}"), counter.load(Relaxed))
            })
            .collect::<Vec<_>>()
        };
        let installs = results(&self.installs, "", ["FAILURE", "SUCCESS"]);
        let help = "How often the plugin was put in place.";
        family("istio_cni_installs_total", "counter", help, &installs);
        let repairs = results(&self.repairs, &format!("type=\"{remedy}\","), ["fail", "success"]);
        let help = "Pods that raced the plugin and were repaired.";
        family("istio_cni_repair_pods_repaired_total", "counter", help, &repairs);
        let questions: Vec<_> = BECAME
            .iter()
            .map(|(became, name)| {
                let count = self.questions[*became as usize].load(Relaxed);
                (format!("{{result=\"{name}\"}}"), count)
            })
            .collect();
        let help = "Pods that the plugin asked about.";
        family("lateen_cni_pods_total", "counter", help, &questions);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_happened_is_counted() {
        let metrics = Metrics::new();
        assert_eq!((metrics.is_ready(), metrics.set_ready(true)), (false, None));
        assert_eq!(metrics.set_ready(false), Some(true));
        metrics.installed(true);
        metrics.repaired(false);
        metrics.asked(Became::Left);
        let text = metrics.text("repair");
        for line in [
            "istio_cni_install_ready 0",
            "istio_cni_installs_total{result=\"SUCCESS\"} 1",
            "istio_cni_repair_pods_repaired_total{type=\"repair\",result=\"fail\"} 1",
            "lateen_cni_pods_total{result=\"left\"} 1",
            "lateen_cni_pods_total{result=\"captured\"} 0",
        ] {
            assert!(text.lines().any(|it| it == line), "no {line} in {text}");
        }
    }
}
