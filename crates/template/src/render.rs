//! A tree over a value: text.

mod call;
mod flow;

use std::borrow::Cow;

use serde_json::Value;

use crate::error::{Error, Position};
use crate::functions::sprint;
use crate::template::{File, Missing, Template};
use crate::tree::{Body, Command, Node, Operand, Pipeline};
use crate::value::kind;

/// How deep blocks, pipelines and templates may be nested while rendering.
const DEPTH: usize = 150;
/// How many nodes and commands one rendering may take.
const STEPS: usize = 2_000_000;
/// How long a rendered text may be, in bytes.
const LONGEST: usize = 16 << 20;

/// Nothing, to be borrowed.
static NOTHING: Value = Value::Null;

/// A value: the caller's, or one that the template made.
type Given<'a> = Cow<'a, Value>;

/// How a body ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

/// What is left of the limits.
#[derive(Clone, Copy)]
struct Budget {
    steps: usize,
    depth: usize,
}

pub(crate) struct Renderer<'a> {
    template: &'a Template,
    /// The file whose nodes are being rendered.
    file: &'a File,
    output: String,
    budget: Budget,
    variables: Vec<(&'a str, Given<'a>)>,
}

/// Renders the template of a name.
pub(crate) fn render(template: &Template, name: &str, data: &Value) -> Result<String, Error> {
    let budget = Budget { steps: STEPS, depth: DEPTH };
    Renderer::over(template, name, data, budget).map(|(text, _)| text)
}

impl<'a> Renderer<'a> {
    /// The text of a named template, and what is left of the budget.
    fn over(
        template: &'a Template,
        name: &str,
        data: &'a Value,
        budget: Budget,
    ) -> Result<(String, Budget), Error> {
        let Some(block) = template.blocks.get(name) else {
            return Err(Error {
                template: name.to_owned(),
                position: Position { line: 1, column: 1 },
                message: format!("template {name:?} not defined"),
            });
        };
        let dot = Cow::Borrowed(data);
        let mut renderer = Self {
            template,
            file: &block.file,
            output: String::new(),
            budget,
            variables: vec![("", dot.clone())],
        };
        renderer.body(&block.body, &dot)?;
        Ok((renderer.output, renderer.budget))
    }

    fn fail<T>(&self, offset: usize, message: impl Into<String>) -> Result<T, Error> {
        Err(Error {
            template: self.file.name.clone(),
            position: Position::of(&self.file.text, offset),
            message: message.into(),
        })
    }

    fn write(&mut self, text: &str) -> Result<(), Error> {
        if self.output.len() + text.len() > LONGEST {
            return self.fail(0, format!("the output is longer than {LONGEST} bytes"));
        }
        self.output.push_str(text);
        Ok(())
    }

    fn step(&mut self, offset: usize) -> Result<(), Error> {
        match self.budget.steps.checked_sub(1) {
            Some(left) => {
                self.budget.steps = left;
                Ok(())
            }
            None => self.fail(offset, format!("rendering takes more than {STEPS} steps")),
        }
    }

    fn deeper<T>(
        &mut self,
        offset: usize,
        inner: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Some(depth) = self.budget.depth.checked_sub(1) else {
            return self.fail(offset, format!("nested deeper than {DEPTH} levels"));
        };
        self.budget.depth = depth;
        let result = inner(self);
        self.budget.depth = depth + 1;
        result
    }

    fn body(&mut self, body: &'a Body, dot: &Given<'a>) -> Result<Flow, Error> {
        for node in body {
            self.step(0)?;
            let flow = match node {
                Node::Text(text) => self.write(text).map(|()| Flow::Next),
                Node::Action(pipeline) => self.action(pipeline, dot).map(|()| Flow::Next),
                Node::If(condition, body, otherwise) => {
                    self.choose(condition, body, otherwise, dot, false)
                }
                Node::With(value, body, otherwise) => {
                    self.choose(value, body, otherwise, dot, true)
                }
                Node::Range(items, body, otherwise) => {
                    self.range(items, body, otherwise, dot).map(|()| Flow::Next)
                }
                Node::Template { offset, name, pipeline } => {
                    let value = match pipeline {
                        Some(pipeline) => self.pipeline(pipeline, dot)?,
                        None => Cow::Borrowed(&NOTHING),
                    };
                    self.named(name, &value, *offset).map(|()| Flow::Next)
                }
                Node::Break => Ok(Flow::Break),
                Node::Continue => Ok(Flow::Continue),
            }?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn action(&mut self, pipeline: &'a Pipeline, dot: &Given<'a>) -> Result<(), Error> {
        let value = self.pipeline(pipeline, dot)?;
        if !pipeline.variables.is_empty() {
            return Ok(());
        }
        let nothing = match self.template.missing {
            Missing::NoValue => "<no value>",
            Missing::Empty => "",
        };
        self.write(&sprint(&value, nothing))
    }

    /// Renders another template in place, with variables of its own.
    fn named(&mut self, name: &str, dot: &Given<'a>, offset: usize) -> Result<(), Error> {
        let template = self.template;
        let Some(block) = template.blocks.get(name) else {
            return self.fail(offset, format!("template {name:?} not defined"));
        };
        let file = std::mem::replace(&mut self.file, &block.file);
        let variables = std::mem::replace(&mut self.variables, vec![("", dot.clone())]);
        self.deeper(offset, |renderer| renderer.body(&block.body, dot))?;
        self.file = file;
        self.variables = variables;
        Ok(())
    }

    /// The value of a pipeline, its names declared or assigned.
    fn pipeline(&mut self, pipeline: &'a Pipeline, dot: &Given<'a>) -> Result<Given<'a>, Error> {
        let value = self.value_of(pipeline, dot)?;
        for name in &pipeline.variables {
            self.bind(pipeline, name, value.clone());
        }
        Ok(value)
    }

    /// The value of a pipeline; its names are left alone.
    fn value_of(&mut self, pipeline: &'a Pipeline, dot: &Given<'a>) -> Result<Given<'a>, Error> {
        self.deeper(pipeline.offset, |renderer| {
            let mut value = None;
            for command in &pipeline.commands {
                value = Some(renderer.command(command, dot, value)?);
            }
            Ok(value.unwrap_or(Cow::Borrowed(&NOTHING)))
        })
    }

    /// Declares a name, or gives it another value.
    fn bind(&mut self, pipeline: &Pipeline, name: &'a str, value: Given<'a>) {
        let known = self.variables.iter_mut().rev().find(|(known, _)| *known == name);
        match known {
            Some((_, old)) if pipeline.assigns => *old = value,
            _ => self.variables.push((name, value)),
        }
    }

    fn command(
        &mut self,
        command: &'a Command,
        dot: &Given<'a>,
        piped: Option<Given<'a>>,
    ) -> Result<Given<'a>, Error> {
        self.step(command.offset)?;
        if let Operand::Function { offset, name } = &command.operand {
            return self.call(name, *offset, &command.arguments, dot, piped);
        }
        if !command.arguments.is_empty() || piped.is_some() {
            return self.fail(command.offset, "can't give argument to non-function");
        }
        if matches!(command.operand, Operand::Constant(Value::Null)) {
            return self.fail(command.offset, "nil is not a command");
        }
        self.operand(&command.operand, dot)
    }

    fn operand(&mut self, operand: &'a Operand, dot: &Given<'a>) -> Result<Given<'a>, Error> {
        match operand {
            Operand::Dot => Ok(dot.clone()),
            Operand::Constant(value) => Ok(Cow::Borrowed(value)),
            Operand::Field { offset, path } => self.fields(dot, path, *offset),
            Operand::Variable { offset, name, path } => {
                let found = self.variables.iter().rev().find(|(known, _)| known == name);
                match found {
                    Some((_, value)) => self.fields(value, path, *offset),
                    None => self.fail(*offset, format!("undefined variable \"${name}\"")),
                }
            }
            Operand::Function { offset, name } => self.call(name, *offset, &[], dot, None),
            Operand::Nested { pipeline, path } => {
                let value = self.pipeline(pipeline, dot)?;
                self.fields(&value, path, pipeline.offset)
            }
        }
    }

    /// A field of a field of a value. Of what the template made only the last one is copied.
    fn fields(
        &self,
        value: &Given<'a>,
        path: &[String],
        offset: usize,
    ) -> Result<Given<'a>, Error> {
        match value {
            Cow::Borrowed(value) => self.walk(value, path, offset).map(Cow::Borrowed),
            Cow::Owned(value) => {
                self.walk(value, path, offset).map(|found| Cow::Owned(found.clone()))
            }
        }
    }

    fn walk<'v>(
        &self,
        mut value: &'v Value,
        path: &[String],
        offset: usize,
    ) -> Result<&'v Value, Error> {
        for name in path {
            value = match value {
                Value::Object(fields) => fields.get(name).unwrap_or(&NOTHING),
                Value::Null if self.template.missing == Missing::NoValue => value,
                Value::Null => {
                    return self
                        .fail(offset, format!("nil pointer evaluating interface {{}}.{name}"));
                }
                other => {
                    return self.fail(
                        offset,
                        format!("can't evaluate field {name} in type {}", kind(other)),
                    );
                }
            };
        }
        Ok(value)
    }
}
