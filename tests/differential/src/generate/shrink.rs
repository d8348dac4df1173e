//! Making a difference small: first few requests, then few objects, then few fields.
//!
//! What is tried is a scenario with less in it. It is kept when it can still be read and still shows
//! the difference; how often that is asked is bounded.

use serde_json::Value;

/// A scenario, as JSON: the form in which anything can be taken away from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The objects of its mesh.
    pub objects: Vec<Value>,
    /// Its exchanges.
    pub exchanges: Vec<Value>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Shrunk {
    /// The smallest scenario that still differs.
    pub draft: Draft,
    /// How often it was asked whether one does.
    pub runs: usize,
    /// Whether nothing more can be taken away; else the number of runs was the limit.
    pub minimal: bool,
}

/// Takes away from a scenario what its difference does not need. `differs` is asked `limit` times at
/// most, and only for scenarios that `reads` accepts.
pub fn shrink(
    draft: Draft,
    limit: usize,
    reads: impl Fn(&Draft) -> bool,
    differs: impl FnMut(&Draft) -> bool,
) -> Shrunk {
    let mut search = Search { draft, runs: 0, limit, reads, differs };
    loop {
        let before = search.draft.clone();
        search.exchanges();
        search.objects();
        search.fields();
        search.texts();
        if search.draft == before || search.runs >= limit {
            let minimal = search.draft == before && search.runs < limit;
            return Shrunk { draft: search.draft, runs: search.runs, minimal };
        }
    }
}

/// A field of a map, or an item of a list.
#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Item(usize),
}

/// Where something stands: in which object or exchange, and there.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Root {
    Object(usize),
    Exchange(usize),
}

struct Search<R, D> {
    draft: Draft,
    runs: usize,
    limit: usize,
    reads: R,
    differs: D,
}

impl<R: Fn(&Draft) -> bool, D: FnMut(&Draft) -> bool> Search<R, D> {
    /// Keeps the scenario if it still differs.
    fn keep(&mut self, smaller: Draft) -> bool {
        if self.runs >= self.limit || !(self.reads)(&smaller) {
            return false;
        }
        self.runs += 1;
        let differs = (self.differs)(&smaller);
        if differs {
            self.draft = smaller;
        }
        differs
    }

    fn exchanges(&mut self) {
        if self.draft.exchanges.len() > 1 {
            // One request is what most differences need.
            for at in 0..self.draft.exchanges.len() {
                let exchanges = vec![self.draft.exchanges[at].clone()];
                if self.keep(Draft { exchanges, ..self.draft.clone() }) {
                    return;
                }
            }
        }
        self.thin(|draft| &mut draft.exchanges);
    }

    fn objects(&mut self) {
        self.thin(|draft| &mut draft.objects);
    }

    /// Takes items out of a list: half of them, a quarter, …, one at a time.
    fn thin(&mut self, list: impl Fn(&mut Draft) -> &mut Vec<Value>) {
        let mut size = list(&mut self.draft).len().div_ceil(2);
        while size > 0 {
            let mut end = list(&mut self.draft).len();
            while end > 0 {
                let start = end.saturating_sub(size);
                let mut smaller = self.draft.clone();
                list(&mut smaller).drain(start..end);
                self.keep(smaller);
                end = start.min(list(&mut self.draft).len());
            }
            size /= 2;
        }
    }

    fn fields(&mut self) {
        for at in 0..self.draft.exchanges.len() {
            self.below(Root::Exchange(at), &mut Vec::new());
        }
        for at in 0..self.draft.objects.len() {
            self.below(Root::Object(at), &mut Vec::new());
        }
    }

    /// Takes away what stands below a place: each part as a whole, else what is below it.
    fn below(&mut self, root: Root, place: &mut Vec<Step>) {
        for step in steps(self.at(root, place)).into_iter().rev() {
            place.push(step);
            if !is_needed(root, place) {
                let mut smaller = self.draft.clone();
                remove(root.value(&mut smaller), place);
                if self.keep(smaller) {
                    place.pop();
                    continue;
                }
            }
            self.below(root, place);
            place.pop();
        }
    }

    fn at(&mut self, root: Root, place: &[Step]) -> &Value {
        place.iter().fold(&*root.value(&mut self.draft), |value, step| step.of(value))
    }

    /// Shortens texts of exchanges: paths and header values. Names are names.
    fn texts(&mut self) {
        for at in 0..self.draft.exchanges.len() {
            let root = Root::Exchange(at);
            for place in texts(root.value(&mut self.draft), &mut Vec::new()) {
                self.shorten(root, &place);
            }
        }
    }

    /// Takes pieces out of a text, the larger first.
    fn shorten(&mut self, root: Root, place: &[Step]) {
        let Some(text) = self.at(root, place).as_str().map(ToOwned::to_owned) else { return };
        let mut text: Vec<char> = text.chars().collect();
        let mut size = text.len() / 2;
        while size > 0 {
            let mut end = text.len();
            while end > 0 {
                let start = end.saturating_sub(size);
                let mut shorter = text.clone();
                shorter.drain(start..end);
                let mut smaller = self.draft.clone();
                set(root.value(&mut smaller), place, Value::String(shorter.iter().collect()));
                if self.keep(smaller) {
                    text = shorter;
                }
                end = start.min(text.len());
            }
            size /= 2;
        }
    }
}

impl Root {
    fn value(self, draft: &mut Draft) -> &mut Value {
        match self {
            Self::Object(at) => &mut draft.objects[at],
            Self::Exchange(at) => &mut draft.exchanges[at],
        }
    }
}

impl Step {
    /// Whether a text there is not said to anybody.
    fn is_name(&self) -> bool {
        matches!(self, Self::Field(name) if matches!(name.as_str(), "name" | "service" | "place"))
    }

    fn of<'v>(&self, value: &'v Value) -> &'v Value {
        match self {
            Self::Field(name) => &value[name.as_str()],
            Self::Item(at) => &value[*at],
        }
    }

    fn of_mut<'v>(&self, value: &'v mut Value) -> &'v mut Value {
        match self {
            Self::Field(name) => &mut value[name.as_str()],
            Self::Item(at) => &mut value[*at],
        }
    }
}

/// What stands directly below.
fn steps(value: &Value) -> Vec<Step> {
    match value {
        Value::Object(fields) => fields.keys().cloned().map(Step::Field).collect(),
        Value::Array(items) => (0..items.len()).map(Step::Item).collect(),
        _ => Vec::new(),
    }
}

fn remove(value: &mut Value, place: &[Step]) {
    let Some((last, before)) = place.split_last() else { return };
    let parent = before.iter().fold(value, |value, step| step.of_mut(value));
    match (parent, last) {
        (Value::Object(fields), Step::Field(name)) => drop(fields.shift_remove(name)),
        (Value::Array(items), Step::Item(at)) => drop(items.remove(*at)),
        _ => {}
    }
}

fn set(value: &mut Value, place: &[Step], text: Value) {
    *place.iter().fold(value, |value, step| step.of_mut(value)) = text;
}

/// Where the texts of an exchange stand that can be shorter.
fn texts(value: &Value, place: &mut Vec<Step>) -> Vec<Vec<Step>> {
    let mut found = Vec::new();
    for step in steps(value) {
        let below = step.of(value);
        place.push(step);
        match below {
            Value::String(_) if place.last().is_some_and(Step::is_name) => {}
            Value::String(text) if text.len() > 1 => found.push(place.clone()),
            _ => found.extend(texts(below, place)),
        }
        place.pop();
    }
    found
}

/// Whether an object is another one, or none, without this.
fn is_needed(root: Root, place: &[Step]) -> bool {
    let names: Vec<&str> = place
        .iter()
        .map(|step| match step {
            Step::Field(name) => name.as_str(),
            Step::Item(_) => "",
        })
        .collect();
    matches!(root, Root::Object(_))
        && matches!(
            names.as_slice(),
            ["apiVersion" | "kind" | "metadata"] | ["metadata", "name" | "namespace"]
        )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(name: &str, spec: &Value) -> Value {
        json!({ "kind": "K", "metadata": { "name": name, "namespace": "test" }, "spec": spec })
    }

    #[test]
    fn a_planted_difference_is_left_alone() {
        let rules =
            json!([{ "a": 1 }, { "match": [{ "x": 2 }, { "prefix": "/api" }] }, { "b": [3] }]);
        let draft = Draft {
            objects: (0..20)
                .map(|n| object(&n.to_string(), &json!({ "rules": rules, "more": [n] })))
                .collect(),
            exchanges: (0..40)
                .map(|n| json!({ "path": format!("/{n}/api/some?q=1"), "headers": { "a": "b" } }))
                .collect(),
        };
        let differs = |draft: &Draft| {
            let rule = draft.objects.iter().any(|object| {
                object["metadata"]["name"] == "13" && object.to_string().contains("\"/api\"")
            });
            let asked = draft
                .exchanges
                .iter()
                .any(|each| each["path"].as_str().is_some_and(|path| path.starts_with("/7/api")));
            rule && asked
        };
        let reads = |draft: &Draft| draft.exchanges.iter().all(|each| each["path"].is_string());
        let shrunk = shrink(draft, 1000, reads, differs);
        assert!(shrunk.minimal);
        assert_eq!(
            shrunk.draft.objects,
            [object("13", &json!({ "rules": [{ "match": [{ "prefix": "/api" }] }] }))]
        );
        assert_eq!(shrunk.draft.exchanges, [json!({ "path": "/7/api" })]);
        assert!(shrunk.runs < 250, "{}", shrunk.runs);
    }

    #[test]
    fn the_number_of_runs_is_bounded() {
        let draft = Draft {
            objects: (0..100).map(|n| object(&n.to_string(), &json!({}))).collect(),
            exchanges: vec![json!({ "path": "/" })],
        };
        let mut asked = 0;
        let shrunk = shrink(
            draft,
            7,
            |_| true,
            |draft| {
                asked += 1;
                draft.objects.len() > 3
            },
        );
        assert_eq!((asked, shrunk.runs, shrunk.minimal), (7, 7, false));
    }

    #[test]
    fn what_depends_on_two_exchanges_keeps_both() {
        let draft = Draft {
            objects: vec![object("a", &json!({ "x": 1 }))],
            exchanges: (0..10).map(|n| json!({ "n": n })).collect(),
        };
        let has = |draft: &Draft, n: u64| draft.exchanges.iter().any(|each| each["n"] == n);
        let shrunk = shrink(draft, 500, |_| true, |draft| has(draft, 2) && has(draft, 8));
        assert_eq!(shrunk.draft.exchanges, [json!({ "n": 2 }), json!({ "n": 8 })]);
        assert!(shrunk.draft.objects.is_empty());
    }
}
