//! Arithmetic and conversions.

use serde_json::Value;

use super::Entry;
use super::arguments::{exactly, float, integer, one_or_more, toward_zero};

/// The longest list that `until` and its relatives make.
const LONGEST: i64 = 100_000;

pub(super) const TABLE: &[Entry] = &[
    ("int", |arguments| exactly::<1>(arguments).map(|[value]| Value::from(integer(value)))),
    ("int64", |arguments| exactly::<1>(arguments).map(|[value]| Value::from(integer(value)))),
    ("float64", |arguments| exactly::<1>(arguments).map(|[value]| Value::from(float(value)))),
    ("atoi", |arguments| exactly::<1>(arguments).map(|[value]| Value::from(integer(value)))),
    ("add", |arguments| fold(arguments, i64::checked_add)),
    ("add1", |arguments| {
        let [value] = exactly(arguments)?;
        fold(&[value, &Value::from(1)], i64::checked_add)
    }),
    ("sub", |arguments| exactly::<2>(arguments).and_then(|both| fold(&both, i64::checked_sub))),
    ("mul", |arguments| fold(arguments, i64::checked_mul)),
    ("div", |arguments| exactly::<2>(arguments).and_then(|both| fold(&both, i64::checked_div))),
    ("mod", |arguments| exactly::<2>(arguments).and_then(|both| fold(&both, i64::checked_rem))),
    ("max", |arguments| fold(arguments, |left, right| Some(left.max(right)))),
    ("min", |arguments| fold(arguments, |left, right| Some(left.min(right)))),
    ("ceil", |arguments| exactly::<1>(arguments).map(|[value]| Value::from(float(value).ceil()))),
    ("floor", |arguments| exactly::<1>(arguments).map(|[value]| Value::from(float(value).floor()))),
    ("until", |arguments| {
        let [count] = exactly(arguments)?;
        let count = integer(count);
        steps(0, count, if count < 0 { -1 } else { 1 })
    }),
    ("untilStep", |arguments| {
        let [start, stop, step] = exactly(arguments)?;
        steps(integer(start), integer(stop), integer(step))
    }),
    ("round", |arguments| {
        let [value, digits] = exactly(arguments)?;
        let digits = i32::try_from(integer(digits)).map_err(|error| error.to_string())?;
        let scale = 10f64.powi(digits);
        Ok(Value::from((float(value) * scale).round() / scale))
    }),
    ("toDecimal", |arguments| {
        let [value] = exactly(arguments)?;
        let text =
            value.as_str().map_or_else(|| toward_zero(float(value)).to_string(), str::to_owned);
        Ok(Value::from(i64::from_str_radix(&text, 8).unwrap_or(0)))
    }),
];

fn fold(arguments: &[&Value], operation: fn(i64, i64) -> Option<i64>) -> Result<Value, String> {
    let (first, rest) = one_or_more(arguments)?;
    rest.iter()
        .try_fold(integer(first), |left, right| operation(left, integer(right)))
        .map(Value::from)
        .ok_or_else(|| "the result is not a 64 bit integer".to_owned())
}

fn steps(start: i64, stop: i64, step: i64) -> Result<Value, String> {
    let mut numbers = Vec::new();
    let mut at = start;
    while (step > 0 && at < stop) || (step < 0 && at > stop) {
        if numbers.len() as u64 >= LONGEST.unsigned_abs() {
            return Err(format!("a list of more than {LONGEST} numbers"));
        }
        numbers.push(Value::from(at));
        at = at.saturating_add(step);
    }
    Ok(Value::Array(numbers))
}
