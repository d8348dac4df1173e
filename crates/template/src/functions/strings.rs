//! Text.

use regex::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use super::Entry;
use super::arguments::{exactly, integer, list, string, to_string};
use crate::value::quoted;

/// The longest text that a function makes, in bytes.
const LONGEST: usize = 4 << 20;
/// The largest compiled pattern, in bytes.
const LARGEST_PATTERN: usize = 1 << 20;

pub(super) const TABLE: &[Entry] = &[
    ("quote", |arguments| Ok(each(arguments, |text| quoted(&text)))),
    ("squote", |arguments| Ok(each(arguments, |text| format!("'{text}'")))),
    ("cat", |arguments| Ok(each(arguments, |text| text))),
    ("toString", |arguments| one(arguments, str::to_owned)),
    ("trim", |arguments| one(arguments, |text| text.trim().to_owned())),
    ("upper", |arguments| one(arguments, str::to_uppercase)),
    ("lower", |arguments| one(arguments, str::to_lowercase)),
    ("title", |arguments| one(arguments, title)),
    ("nospace", |arguments| one(arguments, |text| text.split_whitespace().collect())),
    ("snakecase", |arguments| one(arguments, |text| separated(text, '_'))),
    ("kebabcase", |arguments| one(arguments, |text| separated(text, '-'))),
    ("trimSuffix", |arguments| {
        two(arguments, |end, text| text.strip_suffix(end).unwrap_or(text).to_owned())
    }),
    ("trimPrefix", |arguments| {
        two(arguments, |start, text| text.strip_prefix(start).unwrap_or(text).to_owned())
    }),
    ("trimAll", |arguments| {
        two(arguments, |cut, text| text.trim_matches(|found| cut.contains(found)).to_owned())
    }),
    ("contains", |arguments| two(arguments, |part, text| text.contains(part))),
    ("hasPrefix", |arguments| two(arguments, |start, text| text.starts_with(start))),
    ("hasSuffix", |arguments| two(arguments, |end, text| text.ends_with(end))),
    ("replace", |arguments| {
        let [old, new, text] = exactly(arguments)?;
        limited(string(text)?.replace(string(old)?, string(new)?))
    }),
    ("repeat", |arguments| {
        let [count, text] = exactly(arguments)?;
        let count = usize::try_from(integer(count)).unwrap_or(0);
        let text = string(text)?;
        if text.len().saturating_mul(count) > LONGEST {
            return Err(format!("a text of more than {LONGEST} bytes"));
        }
        Ok(Value::String(text.repeat(count)))
    }),
    ("substr", |arguments| {
        let [start, end, text] = exactly(arguments)?;
        let text: Vec<char> = string(text)?.chars().collect();
        let bound = |value: &Value, otherwise: usize| {
            usize::try_from(integer(value)).unwrap_or(otherwise).min(text.len())
        };
        let (start, end) = (bound(start, 0), bound(end, text.len()));
        Ok(Value::String(text.get(start..end).unwrap_or_default().iter().collect()))
    }),
    ("trunc", |arguments| {
        let [length, text] = exactly(arguments)?;
        let (length, text) = (integer(length), string(text)?);
        let count = text.chars().count();
        let kept = usize::try_from(length.unsigned_abs()).unwrap_or(count).min(count);
        let skipped = if length < 0 { count - kept } else { 0 };
        Ok(Value::String(text.chars().skip(skipped).take(kept).collect()))
    }),
    ("indent", |arguments| {
        let [spaces, text] = exactly(arguments)?;
        indent(spaces, &to_string(text)).and_then(limited)
    }),
    ("nindent", |arguments| {
        let [spaces, text] = exactly(arguments)?;
        indent(spaces, &to_string(text)).and_then(|text| limited(format!("\n{text}")))
    }),
    ("join", |arguments| {
        let [separator, items] = exactly(arguments)?;
        let words: Vec<String> = match items {
            Value::Array(items) => {
                items.iter().filter(|item| !item.is_null()).map(to_string).collect()
            }
            other => vec![to_string(other)],
        };
        limited(words.join(string(separator)?))
    }),
    ("split", |arguments| {
        let [separator, text] = exactly(arguments)?;
        Ok(numbered(&pieces(string(separator)?, string(text)?)))
    }),
    ("splitn", |arguments| {
        let [separator, count, text] = exactly(arguments)?;
        let count = usize::try_from(integer(count)).unwrap_or(usize::MAX);
        let pieces: Vec<&str> = string(text)?.splitn(count, string(separator)?).collect();
        Ok(numbered(&pieces))
    }),
    ("splitList", |arguments| {
        let [separator, text] = exactly(arguments)?;
        Ok(pieces(string(separator)?, string(text)?).into_iter().map(Value::from).collect())
    }),
    ("toStrings", |arguments| {
        let [items] = exactly(arguments)?;
        Ok(list(items)?.iter().map(|item| Value::String(to_string(item))).collect())
    }),
    ("regexMatch", |arguments| {
        let [pattern, text] = exactly(arguments)?;
        Ok(Value::Bool(regex(pattern)?.is_match(string(text)?)))
    }),
    ("regexFind", |arguments| {
        let [pattern, text] = exactly(arguments)?;
        let found = regex(pattern)?.find(string(text)?).map_or("", |found| found.as_str());
        Ok(Value::from(found))
    }),
    ("regexReplaceAll", |arguments| {
        let [pattern, text, new] = exactly(arguments)?;
        limited(regex(pattern)?.replace_all(string(text)?, string(new)?).into_owned())
    }),
    ("regexReplaceAllLiteral", |arguments| {
        let [pattern, text, new] = exactly(arguments)?;
        let new = regex::NoExpand(string(new)?);
        limited(regex(pattern)?.replace_all(string(text)?, new).into_owned())
    }),
    ("regexSplit", |arguments| {
        let [pattern, text, count] = exactly(arguments)?;
        let count = usize::try_from(integer(count)).unwrap_or(usize::MAX);
        Ok(regex(pattern)?.splitn(string(text)?, count).map(Value::from).collect())
    }),
];

fn one(arguments: &[&Value], change: fn(&str) -> String) -> Result<Value, String> {
    exactly::<1>(arguments).map(|[value]| Value::String(change(&to_string(value))))
}

fn two<T: Into<Value>>(
    arguments: &[&Value],
    decide: impl Fn(&str, &str) -> T,
) -> Result<Value, String> {
    let [first, second] = exactly(arguments)?;
    Ok(decide(string(first)?, string(second)?).into())
}

/// What is not nil, each changed, with spaces between.
fn each(arguments: &[&Value], change: fn(String) -> String) -> Value {
    let words: Vec<String> = arguments
        .iter()
        .filter(|value| !value.is_null())
        .map(|value| change(to_string(value)))
        .collect();
    Value::String(words.join(" "))
}

fn limited(text: String) -> Result<Value, String> {
    if text.len() > LONGEST {
        return Err(format!("a text of more than {LONGEST} bytes"));
    }
    Ok(Value::String(text))
}

fn indent(spaces: &Value, text: &str) -> Result<String, String> {
    let spaces = usize::try_from(integer(spaces)).unwrap_or(0);
    let lines = text.matches('\n').count() + 1;
    if spaces.saturating_mul(lines) > LONGEST {
        return Err(format!("a text of more than {LONGEST} bytes"));
    }
    let pad = " ".repeat(spaces);
    Ok(format!("{pad}{}", text.replace('\n', &format!("\n{pad}"))))
}

fn pieces<'t>(separator: &str, text: &'t str) -> Vec<&'t str> {
    if separator.is_empty() {
        return text.split("").filter(|piece| !piece.is_empty()).collect();
    }
    text.split(separator).collect()
}

/// Pieces under `_0`, `_1`, …
fn numbered(pieces: &[&str]) -> Value {
    let fields: Map<String, Value> = pieces
        .iter()
        .enumerate()
        .map(|(at, piece)| (format!("_{at}"), Value::from(*piece)))
        .collect();
    Value::Object(fields)
}

fn title(text: &str) -> String {
    let mut starts = true;
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if starts {
            out.extend(character.to_uppercase());
        } else {
            out.push(character);
        }
        starts = character.is_whitespace();
    }
    out
}

/// Words in lower case with a separator: `MyName` → `my_name`.
fn separated(text: &str, separator: char) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len() + 4);
    for (at, character) in characters.iter().enumerate() {
        if matches!(character, ' ' | '_' | '-') {
            out.push(separator);
            continue;
        }
        let after_lower = at > 0 && characters[at - 1].is_lowercase();
        let before_lower = at > 0
            && characters[at - 1].is_uppercase()
            && characters.get(at + 1).is_some_and(|next| next.is_lowercase());
        if character.is_uppercase() && (after_lower || before_lower) {
            out.push(separator);
        }
        out.extend(character.to_lowercase());
    }
    out
}

fn regex(pattern: &Value) -> Result<Regex, String> {
    RegexBuilder::new(string(pattern)?)
        .size_limit(LARGEST_PATTERN)
        .build()
        .map_err(|error| error.to_string())
}
