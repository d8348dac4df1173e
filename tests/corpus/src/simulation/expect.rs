//! Comparing where a call ended up with what the case expects.

use lateen_engine::Plan;
use serde_json::Value;

use super::call::{Ending, Place};
use crate::case::{list, port, text};
use crate::tally::Verdict;

/// Compares one call.
pub fn compare(seen: &Ending, expect: &Value) -> Verdict {
    let wrong = outcome(seen, expect)
        .or_else(|| destination(seen.destination.as_ref(), &expect["destination"]))
        .or_else(|| status(seen, expect))
        .or_else(|| host(seen, expect))
        .or_else(|| route(seen, expect))
        .or_else(|| telemetry(seen, expect));
    match wrong {
        None => Verdict::Passed,
        Some(why) => Verdict::Failed(format!("{why}; seen {seen:?}")),
    }
}

fn outcome(seen: &Ending, expect: &Value) -> Option<String> {
    let expected = text(expect, "outcome");
    let passes = seen.destination.as_ref().is_some_and(|place| place.kind == "passthrough");
    let same = match expected {
        "accepted" => seen.outcome == "delivered",
        // Nothing that was configured routes it, and the default lets it pass.
        "no_matching_host" => passes,
        other => seen.outcome == other,
    };
    (!same).then(|| format!("{} instead of {expected}", seen.outcome))
}

fn destination(seen: Option<&Place>, expect: &Value) -> Option<String> {
    if expect.is_null() {
        return None;
    }
    let Some(seen) = seen else { return Some(format!("nowhere instead of {expect}")) };
    let mut same = seen.kind == text(expect, "kind");
    if seen.kind == "service" {
        same &= seen.host == text(expect, "host") && seen.subset == text(expect, "subset");
    }
    if let (true, Some(wanted)) =
        (matches!(seen.kind, "service" | "workload"), port(expect, "port"))
    {
        same &= seen.port == wanted;
    }
    if let Some(endpoint) = expect["endpoint"].as_str() {
        same &= seen.endpoint.as_deref() == Some(endpoint);
    }
    (!same).then(|| format!("not {expect}"))
}

fn status(seen: &Ending, expect: &Value) -> Option<String> {
    let wanted = port(expect, "status")?;
    (seen.status != Some(wanted)).then(|| format!("status {:?} instead of {wanted}", seen.status))
}

fn host(seen: &Ending, expect: &Value) -> Option<String> {
    let wanted = expect["matchedHost"].as_str()?;
    (seen.host != wanted).then(|| format!("host {:?} instead of {wanted:?}", seen.host))
}

fn route(seen: &Ending, expect: &Value) -> Option<String> {
    let wanted = expect["matchedRoute"].as_str()?;
    (seen.route.as_deref() != Some(wanted))
        .then(|| format!("route {:?} instead of {wanted:?}", seen.route))
}

fn telemetry(seen: &Ending, expect: &Value) -> Option<String> {
    let wanted: Vec<&str> =
        list(expect, "telemetryServices").iter().filter_map(Value::as_str).collect();
    let differs = !wanted.is_empty() && !seen.telemetry.iter().all(|it| wanted.contains(&&**it));
    differs.then(|| format!("telemetry names {:?} instead of {wanted:?}", seen.telemetry))
}

/// Whether exactly these ports are served; null: anything is fine.
pub fn inbound_ports(plan: &Plan, expect: &Value) -> Verdict {
    let Some(expect) = expect.as_array() else { return Verdict::Passed };
    let mut wanted: Vec<u64> = expect.iter().filter_map(Value::as_u64).collect();
    wanted.sort_unstable();
    let mut seen: Vec<u64> = plan.inbound_ports().into_iter().map(u64::from).collect();
    seen.sort_unstable();
    if seen == wanted {
        Verdict::Passed
    } else {
        Verdict::Failed(format!("inbound ports {seen:?} instead of {wanted:?}"))
    }
}
