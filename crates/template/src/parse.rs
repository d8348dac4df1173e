//! Tokens into a tree, by the rules of Go's `text/template/parse`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::functions::Functions;
use crate::token::{Fault, Kind, Token, tokens};
use crate::tree::{Body, Command, Node, Operand, Pipeline};

/// How deep blocks and parentheses may be nested in one template.
const DEPTH: usize = 60;

/// What a text defines: its own body, and the templates of its `define` and `block`.
pub(crate) struct Defined {
    pub main: Body,
    pub named: BTreeMap<String, Body>,
}

/// Reads a template's text.
pub(crate) fn parse(text: &str, functions: &Functions) -> Result<Defined, Fault> {
    let tokens = tokens(text)?;
    let end = Token { kind: Kind::Close, offset: text.len() };
    let mut parser = Parser {
        tokens,
        at: 0,
        end,
        functions,
        variables: vec![String::new()],
        loops: 0,
        depth: 0,
        named: BTreeMap::new(),
    };
    let (main, stop) = parser.body()?;
    match stop {
        Stop::Text => Ok(Defined { main, named: parser.named }),
        Stop::End(offset) => fault(offset, "unexpected {{end}}"),
        Stop::Else(offset) => fault(offset, "unexpected {{else}}"),
    }
}

/// What ended a body.
enum Stop {
    /// The text.
    Text,
    /// `{{end}}`
    End(usize),
    /// `{{else`; the rest of the action is unread.
    Else(usize),
}

/// What a pipeline ends with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    Action,
    Parenthesis,
}

struct Parser<'f> {
    tokens: Vec<Token>,
    at: usize,
    /// What is read past the last token.
    end: Token,
    functions: &'f Functions,
    /// Variables in scope; the first is `$`.
    variables: Vec<String>,
    /// How many `range` bodies surround this place.
    loops: usize,
    depth: usize,
    named: BTreeMap<String, Body>,
}

fn fault<T>(offset: usize, message: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { offset, message: message.into() })
}

/// A token as people read it.
fn shown(kind: &Kind) -> String {
    match kind {
        Kind::Text(_) => "text".to_owned(),
        Kind::Open => "{{".to_owned(),
        Kind::Close => "}}".to_owned(),
        Kind::Space => "space".to_owned(),
        Kind::Word(word) => word.clone(),
        Kind::Field(name) => format!(".{name}"),
        Kind::Variable(name) => format!("${name}"),
        Kind::Dot => ".".to_owned(),
        Kind::String(text) => format!("{text:?}"),
        Kind::Integer(number) => number.to_string(),
        Kind::Float(number) => number.to_string(),
        Kind::Pipe => "|".to_owned(),
        Kind::Declare => ":=".to_owned(),
        Kind::Assign => "=".to_owned(),
        Kind::Comma => ",".to_owned(),
        Kind::OpenParenthesis => "(".to_owned(),
        Kind::CloseParenthesis => ")".to_owned(),
    }
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).unwrap_or(&self.end)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn skip_space(&mut self) {
        while self.peek().kind == Kind::Space {
            self.at += 1;
        }
    }

    fn deeper<T>(
        &mut self,
        offset: usize,
        inner: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if self.depth == DEPTH {
            return fault(offset, format!("nested deeper than {DEPTH} levels"));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// Nodes up to `{{end}}`, `{{else` or the end of the text.
    fn body(&mut self) -> Result<(Body, Stop), Fault> {
        let mut body = Body::new();
        while self.at < self.tokens.len() {
            let token = self.next();
            if let Kind::Text(text) = token.kind {
                body.push(Node::Text(text));
                continue;
            }
            self.skip_space();
            let offset = self.peek().offset;
            let word = match &self.peek().kind {
                Kind::Word(word) => word.clone(),
                _ => String::new(),
            };
            match word.as_str() {
                "end" => {
                    self.at += 1;
                    self.close("end")?;
                    return Ok((body, Stop::End(offset)));
                }
                "else" => {
                    self.at += 1;
                    return Ok((body, Stop::Else(offset)));
                }
                "define" => {
                    self.at += 1;
                    self.define(offset)?;
                }
                _ => {
                    let node = self.deeper(offset, |parser| parser.node(&word, offset))?;
                    body.push(node);
                }
            }
        }
        Ok((body, Stop::Text))
    }

    fn node(&mut self, word: &str, offset: usize) -> Result<Node, Fault> {
        match word {
            "if" | "with" | "range" => {
                self.at += 1;
                self.control(word, offset)
            }
            "template" => {
                self.at += 1;
                let name = self.name("template")?;
                let pipeline = self.optional_pipeline()?;
                Ok(Node::Template { offset, name, pipeline })
            }
            "block" => {
                self.at += 1;
                let name = self.name("block")?;
                let pipeline = self.pipeline(Closing::Action, "block")?;
                self.named_body(name.clone(), offset)?;
                Ok(Node::Template { offset, name, pipeline: Some(pipeline) })
            }
            "break" | "continue" => {
                self.at += 1;
                self.close(word)?;
                if self.loops == 0 {
                    return fault(offset, format!("{{{{{word}}}}} outside {{{{range}}}}"));
                }
                Ok(if word == "break" { Node::Break } else { Node::Continue })
            }
            _ => self.pipeline(Closing::Action, "command").map(Node::Action),
        }
    }

    /// The rest of `if`, `with` or `range`, its `{{end}}` included.
    fn control(&mut self, word: &str, offset: usize) -> Result<Node, Fault> {
        let scope = self.variables.len();
        let pipeline = self.pipeline(Closing::Action, word)?;
        self.loops += usize::from(word == "range");
        let (body, stop) = self.body()?;
        self.loops -= usize::from(word == "range");
        let otherwise = match stop {
            Stop::Text => return fault(offset, format!("{{{{{word}}}}} has no {{{{end}}}}")),
            Stop::End(_) => Body::new(),
            Stop::Else(at) => self.otherwise(word, at)?,
        };
        self.variables.truncate(scope);
        Ok(match word {
            "if" => Node::If(pipeline, body, otherwise),
            "with" => Node::With(pipeline, body, otherwise),
            _ => Node::Range(pipeline, body, otherwise),
        })
    }

    /// What follows `{{else`: `if …`, `with …`, or a body.
    fn otherwise(&mut self, word: &str, offset: usize) -> Result<Body, Fault> {
        self.skip_space();
        let chained = matches!(&self.peek().kind, Kind::Word(next) if next == word);
        if chained && word != "range" {
            self.at += 1;
            // The inner control takes the {{end}} of both.
            return self
                .deeper(offset, |parser| parser.control(word, offset))
                .map(|node| vec![node]);
        }
        self.close("else")?;
        let (body, stop) = self.body()?;
        match stop {
            Stop::End(_) => Ok(body),
            Stop::Else(at) => fault(at, "expected {{end}}; found {{else}}"),
            Stop::Text => fault(offset, "{{else}} has no {{end}}"),
        }
    }

    fn define(&mut self, offset: usize) -> Result<(), Fault> {
        if self.depth > 0 {
            return fault(offset, "{{define}} inside of another action");
        }
        let name = self.name("define")?;
        self.close("define")?;
        self.named_body(name, offset)
    }

    /// The body of `define` or `block`, which has variables and loops of its own.
    fn named_body(&mut self, name: String, offset: usize) -> Result<(), Fault> {
        let variables = std::mem::replace(&mut self.variables, vec![String::new()]);
        let loops = std::mem::take(&mut self.loops);
        let (body, stop) = self.deeper(offset, Self::body)?;
        self.variables = variables;
        self.loops = loops;
        match stop {
            Stop::End(_) if self.named.contains_key(&name) => {
                fault(offset, format!("multiple definition of template {name:?}"))
            }
            Stop::End(_) => {
                self.named.insert(name, body);
                Ok(())
            }
            Stop::Else(at) => fault(at, "unexpected {{else}}"),
            Stop::Text => fault(offset, format!("the template {name:?} has no {{{{end}}}}")),
        }
    }

    /// The name of a template.
    fn name(&mut self, context: &str) -> Result<String, Fault> {
        self.skip_space();
        let token = self.next();
        match token.kind {
            Kind::String(name) => Ok(name),
            other => fault(
                token.offset,
                format!("unexpected {} in {context} clause: expected a name", shown(&other)),
            ),
        }
    }

    /// The closing delimiter.
    fn close(&mut self, context: &str) -> Result<(), Fault> {
        self.skip_space();
        let token = self.next();
        match token.kind {
            Kind::Close => Ok(()),
            other => fault(token.offset, format!("unexpected {} in {context}", shown(&other))),
        }
    }

    fn optional_pipeline(&mut self) -> Result<Option<Pipeline>, Fault> {
        self.skip_space();
        if self.peek().kind == Kind::Close {
            self.at += 1;
            return Ok(None);
        }
        self.pipeline(Closing::Action, "template").map(Some)
    }

    fn pipeline(&mut self, closing: Closing, context: &str) -> Result<Pipeline, Fault> {
        self.skip_space();
        let offset = self.peek().offset;
        self.deeper(offset, |parser| parser.pipeline_here(closing, context, offset))
    }

    fn pipeline_here(
        &mut self,
        closing: Closing,
        context: &str,
        offset: usize,
    ) -> Result<Pipeline, Fault> {
        let (variables, assigns) = self.declarations(context)?;
        let mut commands: Vec<Command> = Vec::new();
        loop {
            self.skip_space();
            let token = self.peek();
            let ended = match token.kind {
                Kind::Close => closing == Closing::Action,
                Kind::CloseParenthesis => closing == Closing::Parenthesis,
                _ => false,
            };
            if ended {
                self.at += 1;
                break;
            }
            let command = self.command(context)?;
            if !commands.is_empty() && command.operand.is_constant() {
                return fault(
                    command.offset,
                    format!("non executable command in stage {} of a pipeline", commands.len() + 1),
                );
            }
            commands.push(command);
        }
        if commands.is_empty() {
            return fault(offset, format!("missing value for {context}"));
        }
        if !assigns {
            self.variables.extend(variables.iter().cloned());
        }
        Ok(Pipeline { offset, variables, assigns, commands })
    }

    /// `$x :=`, `$x =`, `$i, $x :=`: the names, and whether they are assigned to.
    fn declarations(&mut self, context: &str) -> Result<(Vec<String>, bool), Fault> {
        let start = self.at;
        let mut names = Vec::new();
        while let Kind::Variable(name) = self.peek().kind.clone() {
            let offset = self.peek().offset;
            self.at += 1;
            self.skip_space();
            names.push(name);
            match self.peek().kind {
                Kind::Comma if context == "range" && names.len() == 1 => {
                    self.at += 1;
                    self.skip_space();
                }
                Kind::Comma => return fault(offset, format!("too many declarations in {context}")),
                Kind::Declare | Kind::Assign => {
                    let assigns = self.peek().kind == Kind::Assign;
                    self.at += 1;
                    if assigns {
                        names.iter().try_for_each(|name| self.known(name, offset))?;
                    }
                    return Ok((names, assigns));
                }
                _ => break,
            }
        }
        self.at = start;
        Ok((Vec::new(), false))
    }

    fn known(&self, variable: &str, offset: usize) -> Result<(), Fault> {
        if self.variables.iter().any(|known| known == variable) {
            return Ok(());
        }
        fault(offset, format!("undefined variable \"${variable}\""))
    }

    /// An operand and its arguments, up to `|` or the end of the pipeline.
    fn command(&mut self, context: &str) -> Result<Command, Fault> {
        let offset = self.peek().offset;
        let mut operands = Vec::new();
        loop {
            self.skip_space();
            if let Some(operand) = self.operand()? {
                operands.push(operand);
            }
            match self.peek().kind.clone() {
                Kind::Space => {}
                Kind::Close | Kind::CloseParenthesis => break,
                Kind::Pipe => {
                    self.at += 1;
                    break;
                }
                other => {
                    return fault(
                        self.peek().offset,
                        format!("unexpected {} in {context}", shown(&other)),
                    );
                }
            }
        }
        if operands.is_empty() {
            let found = self.tokens.iter().find(|token| token.offset == offset);
            let found = shown(&found.unwrap_or(&self.end).kind);
            return fault(offset, format!("unexpected {found} in {context}"));
        }
        let operand = operands.remove(0);
        Ok(Command { offset, operand, arguments: operands })
    }

    /// A term with the fields that follow it.
    fn operand(&mut self) -> Result<Option<Operand>, Fault> {
        let Some(term) = self.term()? else { return Ok(None) };
        let mut path = Vec::new();
        let offset = self.peek().offset;
        while let Kind::Field(name) = self.peek().kind.clone() {
            self.at += 1;
            path.push(name);
        }
        if path.is_empty() {
            return Ok(Some(term));
        }
        Ok(Some(match term {
            Operand::Field { offset, path: mut first } => {
                first.append(&mut path);
                Operand::Field { offset, path: first }
            }
            Operand::Variable { offset, name, path: mut first } => {
                first.append(&mut path);
                Operand::Variable { offset, name, path: first }
            }
            Operand::Nested { pipeline, .. } => Operand::Nested { pipeline, path },
            Operand::Function { offset: at, name } => {
                let command = Command {
                    offset: at,
                    operand: Operand::Function { offset: at, name },
                    arguments: Vec::new(),
                };
                let pipeline = Pipeline {
                    offset: at,
                    variables: Vec::new(),
                    assigns: false,
                    commands: vec![command],
                };
                Operand::Nested { pipeline: Box::new(pipeline), path }
            }
            Operand::Constant(_) | Operand::Dot => {
                return fault(offset, format!("unexpected .{} after a constant or a dot", path[0]));
            }
        }))
    }

    fn term(&mut self) -> Result<Option<Operand>, Fault> {
        let token = self.peek().clone();
        let offset = token.offset;
        let operand = match token.kind {
            Kind::Dot => Operand::Dot,
            Kind::Field(name) => Operand::Field { offset, path: vec![name] },
            Kind::Variable(name) => {
                self.known(&name, offset)?;
                Operand::Variable { offset, name, path: Vec::new() }
            }
            Kind::String(text) => Operand::Constant(Value::String(text)),
            Kind::Integer(number) => Operand::Constant(Value::from(number)),
            Kind::Float(number) => Operand::Constant(Value::from(number)),
            Kind::Word(word) => self.word(word, offset)?,
            Kind::OpenParenthesis => {
                self.at += 1;
                let pipeline = self.pipeline(Closing::Parenthesis, "parenthesized pipeline")?;
                return Ok(Some(Operand::Nested {
                    pipeline: Box::new(pipeline),
                    path: Vec::new(),
                }));
            }
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(operand))
    }

    fn word(&self, word: String, offset: usize) -> Result<Operand, Fault> {
        match word.as_str() {
            "true" => Ok(Operand::Constant(Value::Bool(true))),
            "false" => Ok(Operand::Constant(Value::Bool(false))),
            "nil" => Ok(Operand::Constant(Value::Null)),
            "if" | "else" | "end" | "range" | "with" | "template" | "block" | "define"
            | "break" | "continue" => fault(offset, format!("unexpected {word} in operand")),
            _ if self.functions.has(&word) => Ok(Operand::Function { offset, name: word }),
            _ => fault(offset, format!("function {word:?} not defined")),
        }
    }
}
