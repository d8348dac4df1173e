//! The answer as people read it: what decided, and of all the rest enough to see what it is.

use std::fmt::Write as _;

use lateen_engine::Origin;
use lateen_engine::explain::What;

use super::report::{Answer, Backend, Decision, Endpoint, Report, Route};

/// How much of what is alike is printed.
const FEW: usize = 3;

impl Report {
    /// For people; `all` of it, or as much of it as one can read.
    pub fn text(&self, all: bool) -> String {
        let few = if all { usize::MAX } else { FEW };
        let mut text = String::new();
        for Visit { workloads, decisions } in visits(&self.decisions, all) {
            let names = workloads.iter().take(few).copied().collect::<Vec<_>>().join(", ");
            let _ = match workloads.len().saturating_sub(few) {
                0 => writeln!(text, "at {names}"),
                more => writeln!(text, "at {names} and {more} more, each"),
            };
            write_decisions(&mut text, decisions, few);
        }
        text.push('\n');
        if let Some(route) = &self.route {
            write_route(&mut text, route, few);
        }
        let _ = writeln!(text, "verdict    {}", self.answer);
        text
    }
}

/// The steps that the proxies of workloads took, all of them the same.
struct Visit<'a> {
    workloads: Vec<&'a str>,
    decisions: &'a [Decision],
}

/// The steps by the workloads at which they were taken; workloads that took the same one after the other
/// are together unless `apart`.
fn visits(decisions: &[Decision], apart: bool) -> Vec<Visit<'_>> {
    let mut visits: Vec<Visit<'_>> = Vec::new();
    for decisions in decisions.chunk_by(|one, next| one.at == next.at) {
        let at = decisions.first().map(|decision| decision.at.as_str()).unwrap_or_default();
        match visits.last_mut().filter(|last| !apart && same(last.decisions, decisions)) {
            Some(last) => last.workloads.push(at),
            None => visits.push(Visit { workloads: vec![at], decisions }),
        }
    }
    visits
}

fn same(one: &[Decision], other: &[Decision]) -> bool {
    let said = |it: &Decision| (it.what, it.object.clone(), it.matched, it.why.clone());
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| said(one) == said(other))
}

/// Of candidates that did not apply, and of endpoints, the first `few` of a row.
fn write_decisions(text: &mut String, decisions: &[Decision], few: usize) {
    let alike = |one: &Decision, next: &Decision| {
        let kind = |it: &Decision| (it.what, it.matched);
        kind(one) == kind(next) && (!one.matched || one.what == What::Endpoint.name())
    };
    for row in decisions.chunk_by(alike) {
        // One that is left out would take a line as well.
        let shown = if row.len() == few.saturating_add(1) { row.len() } else { few };
        for decision in row.iter().take(shown) {
            write_decision(text, decision);
        }
        if let (more @ 1.., Some(first)) = (row.len().saturating_sub(shown), row.first()) {
            let applied = if first.matched { "did" } else { "did not apply" };
            let _ = writeln!(text, "  · {:<16} and {more} more that {applied}", first.what);
        }
    }
}

fn write_decision(text: &mut String, decision: &Decision) {
    let mark = if decision.matched { "✓" } else { "·" };
    let Decision { what, object, why, .. } = decision;
    let _ = writeln!(text, "  {mark} {what:<16} {why}");
    if *object != Origin::mesh_default().to_string() {
        let _ = writeln!(text, "    {:<16} {object}", "");
    }
}

fn write_route(text: &mut String, route: &Route, few: usize) {
    let name = if route.name.is_empty() { "(without a name)" } else { &route.name };
    let _ = writeln!(text, "route      {name}: {}", route.action);
    let several = route.backends.len() > 1;
    for backend in &route.backends {
        let weight = if several { format!(", weight {}", backend.weight) } else { String::new() };
        let _ = writeln!(text, "to         {}{weight}", backend.destination);
        if backend.endpoints.is_empty() {
            let _ = writeln!(text, "             {}", backend.answer);
        }
        write_endpoints(text, backend, few);
    }
}

/// The first `few` endpoints with each answer.
fn write_endpoints(text: &mut String, backend: &Backend, few: usize) {
    let mut answers: Vec<(&Answer, Vec<&Endpoint>)> = Vec::new();
    for endpoint in &backend.endpoints {
        match answers.iter_mut().find(|(answer, _)| **answer == endpoint.answer) {
            Some((_, endpoints)) => endpoints.push(endpoint),
            None => answers.push((&endpoint.answer, vec![endpoint])),
        }
    }
    for (answer, endpoints) in answers {
        for Endpoint { address, workload, .. } in endpoints.iter().take(few) {
            let _ = writeln!(text, "  {address:<21} {workload}: {answer}");
        }
        if let more @ 1.. = endpoints.len().saturating_sub(few) {
            let _ = writeln!(text, "  and {more} more: {answer}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::{Outcome, Steps};
    use super::*;
    use lateen_engine::Step;

    fn report(endpoints: usize, rules: usize) -> Report {
        let step = |what, matched, why: String| Step {
            what,
            matched,
            why,
            origin: Origin::mesh_default().clone(),
        };
        let mut steps = Steps::default();
        let missed = (0..rules).map(|rule| step(What::Route, false, format!("not {rule}")));
        steps.add("shop/caller", missed.chain([step(What::Route, true, "it is".to_owned())]));
        for workload in 0..endpoints {
            let allowed = step(What::Policy, true, "allowed".to_owned());
            steps.add(&format!("shop/web-{workload}"), [allowed]);
        }
        Report::new(Outcome::from(Answer::served(Origin::mesh_default())), steps)
    }

    #[test]
    fn what_is_long_is_cut_and_all_is_not() {
        let text = report(100, 200).text(false);
        assert!(text.lines().count() < 15, "{text}");
        for wanted in [
            "not 0\n",
            "and 197 more that did not apply\n",
            "✓ route            it is\n",
            "at shop/web-0, shop/web-1, shop/web-2 and 97 more, each\n",
        ] {
            assert!(text.contains(wanted), "no {wanted:?} in\n{text}");
        }
        let text = report(100, 200).text(true);
        assert_eq!(text.matches("at shop/web-").count(), 100);
        assert_eq!(text.matches("· route").count(), 200);
    }

    #[test]
    fn what_is_short_is_whole() {
        let text = report(2, 4).text(false);
        assert!(!text.contains("more"), "{text}");
        assert!(text.contains("at shop/web-0, shop/web-1\n"), "{text}");
    }
}
