//! `printf` and its relatives, by the rules of Go's `fmt`.

use serde_json::Value;

use super::arguments::{float, toward_zero};
use crate::value::{kind, quoted, text};

/// Values one after the other, with a space between two that are no strings.
pub(super) fn print_values(values: &[&Value]) -> String {
    let mut out = String::new();
    let mut before_was_string = true;
    for value in values {
        let is_string = value.is_string();
        if !is_string && !before_was_string {
            out.push(' ');
        }
        out.push_str(&text(value));
        before_was_string = is_string;
    }
    out
}

/// A value as an action writes it; nil by `nothing`.
pub(crate) fn sprint(value: &Value, nothing: &str) -> String {
    if value.is_null() { nothing.to_owned() } else { text(value) }
}

/// What stands between `%` and the verb.
#[derive(Default)]
struct Directive {
    left: bool,
    zero: bool,
    plus: bool,
    width: usize,
    precision: Option<usize>,
}

/// The widest field: what is wider is a mistake.
const WIDEST: usize = 4096;

/// Values by a format. What Go writes as `%!d(string=x)` is an error here.
pub(super) fn sprintf(format: &str, values: &[&Value]) -> Result<String, String> {
    let mut out = String::new();
    let mut values = values.iter();
    let mut characters = format.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        let directive = directive(&mut characters)?;
        let verb = characters.next().ok_or_else(|| format!("{format:?} ends in a %"))?;
        if verb == '%' {
            out.push('%');
            continue;
        }
        let value =
            values.next().ok_or_else(|| format!("{format:?} has no argument for its %{verb}"))?;
        pad(&formatted(verb, value, &directive)?, &directive, &mut out);
    }
    match values.len() {
        0 => Ok(out),
        more => Err(format!("{format:?} has {more} arguments too many")),
    }
}

fn directive(
    characters: &mut std::iter::Peekable<std::str::Chars<'_>>,
) -> Result<Directive, String> {
    let mut directive = Directive::default();
    while let Some(flag) = characters.next_if(|next| matches!(next, '-' | '0' | '+')) {
        match flag {
            '-' => directive.left = true,
            '0' => directive.zero = true,
            _ => directive.plus = true,
        }
    }
    if let Some(width) = digits(characters)? {
        directive.width = width;
    }
    if characters.next_if_eq(&'.').is_some() {
        directive.precision = Some(digits(characters)?.unwrap_or(0));
    }
    Ok(directive)
}

fn digits(
    characters: &mut std::iter::Peekable<std::str::Chars<'_>>,
) -> Result<Option<usize>, String> {
    let mut found = String::new();
    while let Some(digit) = characters.next_if(char::is_ascii_digit) {
        found.push(digit);
    }
    if found.is_empty() {
        return Ok(None);
    }
    found
        .parse()
        .ok()
        .filter(|width| *width <= WIDEST)
        .map(Some)
        .ok_or_else(|| format!("a width of {found}: the widest is {WIDEST}"))
}

fn formatted(verb: char, value: &Value, directive: &Directive) -> Result<String, String> {
    let wrong = || format!("%{verb} of a value of type {}", kind(value));
    let cut = |text: String| match directive.precision {
        Some(length) => text.chars().take(length).collect(),
        None => text,
    };
    Ok(match verb {
        'v' => text(value),
        's' if value.is_string() => cut(text(value)),
        's' if value.is_array() || value.is_object() => text(value),
        'q' => quoted(value.as_str().ok_or_else(wrong)?),
        't' => value.as_bool().ok_or_else(wrong)?.to_string(),
        'd' => signed(value.as_i64().ok_or_else(wrong)?, directive),
        'x' | 'X' | 'o' | 'b' | 'c' => return other_base(verb, value).ok_or_else(wrong),
        'f' | 'F' if value.is_number() => {
            let number = format!("{:.*}", directive.precision.unwrap_or(6), float(value));
            if directive.plus && !number.starts_with('-') { format!("+{number}") } else { number }
        }
        'g' if value.is_number() => text(value),
        _ => return Err(wrong()),
    })
}

fn signed(number: i64, directive: &Directive) -> String {
    if directive.plus && number >= 0 { format!("+{number}") } else { number.to_string() }
}

fn other_base(verb: char, value: &Value) -> Option<String> {
    if let (Some(text), 'x' | 'X') = (value.as_str(), verb) {
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        return Some(if verb == 'X' { hex.to_uppercase() } else { hex });
    }
    let number = value.as_i64().or_else(|| value.as_f64().map(toward_zero))?;
    let sign = if number < 0 { "-" } else { "" };
    let absolute = number.unsigned_abs();
    Some(match verb {
        'x' => format!("{sign}{absolute:x}"),
        'X' => format!("{sign}{absolute:X}"),
        'o' => format!("{sign}{absolute:o}"),
        'b' => format!("{sign}{absolute:b}"),
        _ => u32::try_from(number).ok().and_then(char::from_u32)?.to_string(),
    })
}

fn pad(text: &str, directive: &Directive, out: &mut String) {
    let missing = directive.width.saturating_sub(text.chars().count());
    if directive.left {
        out.push_str(text);
        out.extend(std::iter::repeat_n(' ', missing));
    } else if directive.zero {
        let signed = text.len() - text.trim_start_matches(['-', '+']).len();
        out.push_str(&text[..signed.min(1)]);
        out.extend(std::iter::repeat_n('0', missing));
        out.push_str(&text[signed.min(1)..]);
    } else {
        out.extend(std::iter::repeat_n(' ', missing));
        out.push_str(text);
    }
}
