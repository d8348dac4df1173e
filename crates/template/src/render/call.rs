//! Calls of functions, those included that are the language's own.

use std::borrow::Cow;

use serde_json::Value;

use super::{Given, NOTHING, Renderer};
use crate::error::Error;
use crate::tree::Operand;
use crate::value::is_true;

/// What a text given to `tpl` is called while it is rendered.
const GIVEN: &str = "tpl";

impl<'a> Renderer<'a> {
    pub(super) fn call(
        &mut self,
        name: &'a str,
        offset: usize,
        arguments: &'a [Operand],
        dot: &Given<'a>,
        piped: Option<Given<'a>>,
    ) -> Result<Given<'a>, Error> {
        if matches!(name, "and" | "or") {
            return self.until(name == "or", offset, arguments, dot, piped);
        }
        let mut values = Vec::with_capacity(arguments.len() + 1);
        for argument in arguments {
            values.push(self.deeper(offset, |renderer| renderer.operand(argument, dot))?);
        }
        values.extend(piped);
        let functions = self.template.functions.clone();
        if let Some(function) = functions.get(name) {
            let values: Vec<&Value> = values.iter().map(AsRef::as_ref).collect();
            return match function(&values) {
                Ok(value) => Ok(Cow::Owned(value)),
                Err(message) => self.fail(offset, format!("error calling {name}: {message}")),
            };
        }
        match name {
            "include" => self.include(values, offset),
            "tpl" => self.given(&values, offset),
            _ => self.change(name, arguments, values, offset),
        }
    }

    /// `and` and `or`: the first argument that decides, or the last one.
    fn until(
        &mut self,
        decides: bool,
        offset: usize,
        arguments: &'a [Operand],
        dot: &Given<'a>,
        piped: Option<Given<'a>>,
    ) -> Result<Given<'a>, Error> {
        let mut last = None;
        for argument in arguments {
            let value = self.deeper(offset, |renderer| renderer.operand(argument, dot))?;
            if is_true(&value) == decides {
                return Ok(value);
            }
            last = Some(value);
        }
        match piped.or(last) {
            Some(value) => Ok(value),
            None => self.fail(offset, "wrong number of args: want at least 1 got 0"),
        }
    }

    /// `include "name" dot`: the text of a template.
    fn include(&mut self, mut values: Vec<Given<'a>>, offset: usize) -> Result<Given<'a>, Error> {
        let dot = values.pop();
        let (Some(dot), [name]) = (dot, values.as_slice()) else {
            return self.fail(offset, "include takes a name and a dot");
        };
        let Some(name) = name.as_str() else {
            return self.fail(offset, "include takes a name and a dot");
        };
        let before = std::mem::take(&mut self.output);
        self.named(name, &dot, offset)?;
        let text = std::mem::replace(&mut self.output, before);
        Ok(Cow::Owned(Value::String(text)))
    }

    /// `tpl text dot`: a text that is a template itself.
    fn given(&mut self, values: &[Given<'a>], offset: usize) -> Result<Given<'a>, Error> {
        let [text, dot] = values else {
            return self.fail(offset, "tpl takes a text and a dot");
        };
        let Some(text) = text.as_str() else {
            return self.fail(offset, "tpl takes a text and a dot");
        };
        let mut template = self.template.clone();
        let rendered = template.add(GIVEN, text).and_then(|()| {
            self.deeper(offset, |renderer| Renderer::over(&template, GIVEN, dot, renderer.budget))
        });
        match rendered {
            Ok((text, budget)) => {
                self.budget.steps = budget.steps;
                Ok(Cow::Owned(Value::String(text)))
            }
            Err(error) => self.fail(offset, format!("error calling tpl: {error}")),
        }
    }

    /// `set $map key value` and `unset $map key`. Values are not shared, so what is changed is a
    /// variable, and nothing else can be.
    fn change(
        &mut self,
        name: &str,
        arguments: &'a [Operand],
        values: Vec<Given<'a>>,
        offset: usize,
    ) -> Result<Given<'a>, Error> {
        let variable = match arguments.first() {
            Some(Operand::Variable { name, path, .. }) if path.is_empty() && !name.is_empty() => {
                name
            }
            _ => {
                return self.fail(
                    offset,
                    format!("{name} changes a variable, such as $x; for other maps use merge"),
                );
            }
        };
        let mut values = values.into_iter();
        let fields = values.next().unwrap_or(Cow::Borrowed(&NOTHING)).into_owned();
        let (Value::Object(mut fields), Some(key)) = (fields, values.next()) else {
            return self.fail(offset, format!("{name} takes a map and a key"));
        };
        let Some(key) = key.as_str() else {
            return self.fail(offset, format!("{name} takes a string as key"));
        };
        match (name, values.next(), values.next()) {
            ("set", Some(value), None) => {
                fields.insert(key.to_owned(), value.into_owned());
            }
            ("unset", None, None) => {
                fields.swap_remove(key);
            }
            _ => return self.fail(offset, format!("wrong number of args for {name}")),
        }
        let changed: Given<'a> = Cow::Owned(Value::Object(fields));
        if let Some((_, value)) =
            self.variables.iter_mut().rev().find(|(known, _)| known == variable)
        {
            *value = changed.clone();
        }
        Ok(changed)
    }
}
