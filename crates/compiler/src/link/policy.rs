//! `policy/<namespace>/<name>`: one AuthorizationPolicy.

use lateen_mesh::v1::{self, Attribute, ValueMatch, resource::Body, value_match::Kind};

use super::Linker;

/// Stands for the mesh's own trust domain, whatever that is called.
const LOCAL: &str = "cluster.local";

impl Linker<'_> {
    pub(super) fn policy(&mut self, namespace: &str, name: &str) -> Option<Body> {
        let node = self.query.policy(namespace, name)?;
        let trust = self.query.trust();
        let domains: Vec<&str> = [trust.domain.as_str()]
            .into_iter()
            .chain(trust.aliases.iter().map(String::as_str))
            .collect();
        let mut policy = node.policy.clone();
        self.provenance.place(&mut policy.origin, &node.source);
        for rule in &mut policy.rules {
            self.provenance.place(&mut rule.origin, &node.source);
            let clauses = rule.from.iter_mut().flat_map(|from| &mut from.clauses);
            for clause in clauses.chain(&mut rule.when) {
                expand(clause, &domains);
            }
        }
        Some(Body::Policy(policy))
    }
}

/// A principal of the mesh's trust domain is meant under all of its names.
fn expand(clause: &mut v1::Clause, domains: &[&str]) {
    if clause.attribute != i32::from(Attribute::Principal) {
        return;
    }
    for values in [&mut clause.values, &mut clause.not_values] {
        let mut all: Vec<ValueMatch> = Vec::new();
        for value in values.drain(..) {
            for value in aliases(&value, domains) {
                if !all.contains(&value) {
                    all.push(value);
                }
            }
        }
        *values = all;
    }
}

fn aliases(value: &ValueMatch, domains: &[&str]) -> Vec<ValueMatch> {
    let (text, make): (&str, fn(String) -> Kind) = match &value.kind {
        Some(Kind::Exact(text)) => (text, Kind::Exact),
        Some(Kind::Prefix(text)) => (text, Kind::Prefix),
        _ => return vec![value.clone()],
    };
    let Some((domain, rest)) = text.split_once('/') else { return vec![value.clone()] };
    if domain != LOCAL && !domains.contains(&domain) {
        return vec![value.clone()];
    }
    let with = |domain: &&str| ValueMatch {
        kind: Some(make(format!("{domain}/{rest}"))),
        ignore_case: value.ignore_case,
    };
    domains.iter().map(with).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_of_the_mesh_are_meant_under_all_its_names() {
        let exact = |text: &str| ValueMatch {
            kind: Some(Kind::Exact(text.to_owned())),
            ignore_case: false,
        };
        let domains = ["new", "old"];
        for (written, expected) in [
            ("new/ns/a/sa/b", vec!["new/ns/a/sa/b", "old/ns/a/sa/b"]),
            ("old/ns/a/sa/b", vec!["new/ns/a/sa/b", "old/ns/a/sa/b"]),
            ("cluster.local/ns/a/sa/b", vec!["new/ns/a/sa/b", "old/ns/a/sa/b"]),
            ("other/ns/a/sa/b", vec!["other/ns/a/sa/b"]),
            ("no-path", vec!["no-path"]),
        ] {
            let expected: Vec<_> = expected.into_iter().map(exact).collect();
            assert_eq!(aliases(&exact(written), &domains), expected, "{written}");
        }
    }
}
