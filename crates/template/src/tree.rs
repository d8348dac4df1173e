//! A template as a tree.

use serde_json::Value;

/// What stands in a template, one after the other.
pub(crate) type Body = Vec<Node>;

/// One part of a template.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// Text as it is.
    Text(String),
    /// A value to be written, unless the pipeline only declares.
    Action(Pipeline),
    /// `if`, and what it does otherwise.
    If(Pipeline, Body, Body),
    /// `with`: the dot is the value.
    With(Pipeline, Body, Body),
    /// `range`: the dot is each element.
    Range(Pipeline, Body, Body),
    /// Another template, with its dot.
    Template { offset: usize, name: String, pipeline: Option<Pipeline> },
    /// Leave the innermost `range`.
    Break,
    /// Go on with the next element of the innermost `range`.
    Continue,
}

/// Commands, each given the result of the one before; the result may get a name.
#[derive(Debug, Clone)]
pub(crate) struct Pipeline {
    pub offset: usize,
    /// Names that are declared or, with `assigns`, given another value.
    pub variables: Vec<String>,
    pub assigns: bool,
    pub commands: Vec<Command>,
}

/// An operand with arguments.
#[derive(Debug, Clone)]
pub(crate) struct Command {
    pub offset: usize,
    pub operand: Operand,
    pub arguments: Vec<Operand>,
}

/// What can be an argument.
#[derive(Debug, Clone)]
pub(crate) enum Operand {
    Dot,
    Constant(Value),
    /// `.a.b`
    Field {
        offset: usize,
        path: Vec<String>,
    },
    /// `$x.a.b`
    Variable {
        offset: usize,
        name: String,
        path: Vec<String>,
    },
    /// A function by name.
    Function {
        offset: usize,
        name: String,
    },
    /// `(…).a.b`
    Nested {
        pipeline: Box<Pipeline>,
        path: Vec<String>,
    },
}

impl Operand {
    /// Whether it can be called or have a value of its own; constants cannot end a pipeline.
    pub(crate) fn is_constant(&self) -> bool {
        matches!(self, Self::Constant(_) | Self::Dot)
    }
}
