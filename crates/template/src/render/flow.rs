//! `if`, `with` and `range`.

use std::borrow::Cow;

use serde_json::Value;

use super::{Flow, Given, Renderer};
use crate::error::Error;
use crate::tree::{Body, Pipeline};
use crate::value::{is_true, kind, sorted};

impl<'a> Renderer<'a> {
    /// `if` and `with`, which `moves` the dot.
    pub(super) fn choose(
        &mut self,
        condition: &'a Pipeline,
        body: &'a Body,
        otherwise: &'a Body,
        dot: &Given<'a>,
        moves: bool,
    ) -> Result<Flow, Error> {
        let scope = self.variables.len();
        let value = self.pipeline(condition, dot)?;
        let flow = self.deeper(condition.offset, |renderer| match is_true(&value) {
            true => renderer.body(body, if moves { &value } else { dot }),
            false => renderer.body(otherwise, dot),
        })?;
        self.variables.truncate(scope);
        Ok(flow)
    }

    pub(super) fn range(
        &mut self,
        items: &'a Pipeline,
        body: &'a Body,
        otherwise: &'a Body,
        dot: &Given<'a>,
    ) -> Result<(), Error> {
        let scope = self.variables.len();
        let value = self.value_of(items, dot)?;
        let elements = match self.elements(value, items.offset)? {
            Some(elements) if !elements.is_empty() => elements,
            _ => {
                let flow = self.deeper(items.offset, |renderer| renderer.body(otherwise, dot));
                self.variables.truncate(scope);
                return flow.map(|_| ());
            }
        };
        for (key, element) in elements {
            self.step(items.offset)?;
            let scope = self.variables.len();
            match items.variables.as_slice() {
                [] => {}
                [name] => self.bind(items, name, element.clone()),
                [first, second, ..] => {
                    self.bind(items, first, key);
                    self.bind(items, second, element.clone());
                }
            }
            let flow = self.deeper(items.offset, |renderer| renderer.body(body, &element))?;
            self.variables.truncate(scope);
            if flow == Flow::Break {
                break;
            }
        }
        self.variables.truncate(scope);
        Ok(())
    }

    /// What is gone through: index or key, and element. None for nil.
    fn elements(
        &self,
        value: Given<'a>,
        offset: usize,
    ) -> Result<Option<Vec<(Given<'a>, Given<'a>)>>, Error> {
        let index = |at: usize| -> Given<'a> { Cow::Owned(Value::from(at)) };
        Ok(Some(match value {
            Cow::Borrowed(Value::Array(items)) => items
                .iter()
                .enumerate()
                .map(|(at, item)| (index(at), Cow::Borrowed(item)))
                .collect(),
            Cow::Owned(Value::Array(items)) => items
                .into_iter()
                .enumerate()
                .map(|(at, item)| (index(at), Cow::Owned(item)))
                .collect(),
            Cow::Borrowed(Value::Object(fields)) => sorted(fields)
                .into_iter()
                .map(|(key, value)| (Cow::Owned(Value::from(key.as_str())), Cow::Borrowed(value)))
                .collect(),
            Cow::Owned(Value::Object(fields)) => {
                let mut fields: Vec<(String, Value)> = fields.into_iter().collect();
                fields.sort_by(|(left, _), (right, _)| left.cmp(right));
                fields
                    .into_iter()
                    .map(|(key, value)| (Cow::Owned(Value::from(key)), Cow::Owned(value)))
                    .collect()
            }
            other => match other.as_ref() {
                Value::Null => return Ok(None),
                Value::Number(number) if number.is_i64() || number.is_u64() => {
                    let count = number.as_i64().and_then(|count| usize::try_from(count).ok());
                    let count = count.unwrap_or(0);
                    if count > self.budget.steps {
                        return self.fail(offset, format!("range over {count} is too long"));
                    }
                    (0..count).map(|at| (index(at), index(at))).collect()
                }
                plain => {
                    return self.fail(offset, format!("range can't iterate over {}", kind(plain)));
                }
            },
        }))
    }
}
