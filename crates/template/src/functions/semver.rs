//! Constraints on versions, as sprig's `semverCompare` reads them.

use std::cmp::Ordering;

/// A version; parts that are not written are absent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    numbers: [Option<u64>; 3],
    /// What follows a hyphen, by parts.
    before: Vec<String>,
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches(['v', 'V']);
        let text = text.split_once('+').map_or(text, |(text, _)| text);
        let (core, before) = text.split_once('-').unwrap_or((text, ""));
        let mut numbers = [None; 3];
        let mut parts = core.split('.');
        for (number, part) in numbers.iter_mut().zip(parts.by_ref()) {
            match part {
                "x" | "X" | "*" => break,
                digits => *number = Some(digits.parse().ok()?),
            }
        }
        if parts.next().is_some_and(|part| !matches!(part, "x" | "X" | "*")) {
            return None;
        }
        let before = before.split('.').filter(|part| !part.is_empty()).map(str::to_owned).collect();
        Some(Self { numbers, before })
    }

    fn number(&self, at: usize) -> u64 {
        self.numbers[at].unwrap_or(0)
    }

    /// The order of semantic versions: a pre-release is before its release.
    fn order(&self, other: &Self) -> Ordering {
        let numbers = (0..3).map(|at| self.number(at)).cmp((0..3).map(|at| other.number(at)));
        numbers.then_with(|| match (self.before.is_empty(), other.before.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => {
                self.before.iter().map(Part::of).cmp(other.before.iter().map(Part::of))
            }
        })
    }
}

/// A part of a pre-release: numbers are before words.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Part<'p> {
    Number(u64),
    Word(&'p str),
}

impl<'p> Part<'p> {
    #[expect(clippy::ptr_arg, reason = "it maps over a list of strings")]
    fn of(text: &'p String) -> Self {
        text.parse().map_or(Self::Word(text), Self::Number)
    }
}

/// Whether a version is what a constraint asks for: alternatives by `||`, conditions by comma or
/// space, each with `=`, `!=`, `<`, `<=`, `>`, `>=`, `~`, `^` or none, and `x` for any number.
pub(super) fn matches(constraint: &str, version: &str) -> Result<bool, String> {
    let found = Version::parse(version)
        .filter(|version| version.numbers[0].is_some())
        .ok_or_else(|| format!("invalid semantic version {version:?}"))?;
    for alternative in constraint.split("||") {
        if all(alternative, &found)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn all(conditions: &str, found: &Version) -> Result<bool, String> {
    let mut operator = String::new();
    let mut holds = true;
    for word in conditions.split([',', ' ']).filter(|word| !word.is_empty()) {
        let digits = word.trim_start_matches(['=', '!', '<', '>', '~', '^']);
        operator.push_str(&word[..word.len() - digits.len()]);
        if digits.is_empty() {
            continue;
        }
        holds &= one(&operator, digits, found)?;
        operator.clear();
    }
    if operator.is_empty() { Ok(holds) } else { Err(format!("{conditions:?} ends in an operator")) }
}

fn one(operator: &str, text: &str, found: &Version) -> Result<bool, String> {
    let asked =
        Version::parse(text).ok_or_else(|| format!("improper constraint: {operator}{text}"))?;
    // A constraint that names no pre-release asks for releases.
    if !found.before.is_empty() && asked.before.is_empty() {
        return Ok(false);
    }
    let order = found.order(&asked);
    let same = |parts: usize| {
        (0..parts).all(|at| asked.numbers[at].is_none() || found.number(at) == asked.number(at))
    };
    let written = asked.numbers.iter().take_while(|number| number.is_some()).count();
    Ok(match operator {
        "" | "=" if written < 3 => same(3),
        "" | "=" => order.is_eq(),
        "!=" if written < 3 => !same(3),
        "!=" => order.is_ne(),
        ">" if written < 3 => order.is_gt() && !same(written),
        ">" => order.is_gt(),
        ">=" | "=>" => order.is_ge(),
        "<" => order.is_lt(),
        "<=" | "=<" if written < 3 => order.is_lt() || same(written),
        "<=" | "=<" => order.is_le(),
        "~" | "~>" => order.is_ge() && same(written.min(2)),
        "^" => {
            let fixed =
                asked.numbers.iter().take(2).take_while(|number| **number == Some(0)).count();
            order.is_ge() && same((fixed + 1).min(written))
        }
        other => return Err(format!("unknown operator {other:?} in a constraint")),
    })
}
