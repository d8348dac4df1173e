//! The table that the demo shows once a second: who called whom, as whom, how often, how well.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::http;
use super::metrics::{self, Call, Counts};

/// How long one scrape may take.
const SCRAPE_LIMIT: Duration = Duration::from_millis(800);

/// Shows rates between one look at the proxies' metrics and the next.
pub struct Table {
    proxies: Vec<SocketAddr>,
    last: Option<(Instant, BTreeMap<Call, Counts>)>,
    /// Lines of the last table, to be drawn over on a terminal.
    drawn: usize,
    terminal: bool,
}

impl Table {
    /// `proxies`: addresses of their Prometheus pages.
    pub fn new(proxies: Vec<SocketAddr>, terminal: bool) -> Self {
        Self { proxies, last: None, drawn: 0, terminal }
    }

    /// Scrapes all proxies and, from the second time on, prints the table.
    pub async fn refresh(&mut self) -> anyhow::Result<()> {
        let mut samples = Vec::new();
        for proxy in &self.proxies {
            // A proxy that does not answer just now is missing from one table.
            if let Ok((200, page)) =
                http::get(*proxy, "localhost", "/stats/prometheus", SCRAPE_LIMIT).await
            {
                samples.extend(metrics::parse(&String::from_utf8_lossy(&page)));
            }
        }
        let now = Instant::now();
        let calls = metrics::calls(&samples);
        if let Some((then, before)) = &self.last {
            let lines = render(&calls, before, now.duration_since(*then));
            self.draw(&lines)?;
        }
        self.last = Some((now, calls));
        Ok(())
    }

    fn draw(&mut self, lines: &[String]) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        if self.terminal && self.drawn > 0 {
            write!(out, "\x1b[{}A\x1b[J", self.drawn)?;
        }
        for line in lines {
            writeln!(out, "{line}")?;
        }
        self.drawn = lines.len();
        out.flush()
    }
}

fn render(
    calls: &BTreeMap<Call, Counts>,
    before: &BTreeMap<Call, Counts>,
    elapsed: Duration,
) -> Vec<String> {
    let nothing = Counts::default();
    let mut lines = vec![format!(
        "{:<16} {:<46} {:<14} {:>7} {:>8} {:>8}",
        "CALLER", "IDENTITY", "CALLED", "REQ/S", "SUCCESS", "P99"
    )];
    for (call, counts) in calls {
        let recent = counts.since(before.get(call).unwrap_or(&nothing));
        if recent.requests <= 0.0 {
            continue;
        }
        let p99 = match recent.p99() {
            Some(bound) if bound.is_finite() => format!("≤{bound} ms"),
            Some(_) => "> 1 h".to_owned(),
            None => "-".to_owned(),
        };
        lines.push(format!(
            "{:<16} {:<46} {:<14} {:>7.1} {:>7.1}% {:>8}",
            call.source,
            call.identity,
            call.destination,
            recent.requests / elapsed.as_secs_f64(),
            100.0 * recent.successes / recent.requests,
            p99
        ));
    }
    lines
}
