//! From the pieces of a template to a tree.

use super::lex::{Piece, Token, pieces};
use super::value::Value;
use std::collections::BTreeMap;

/// What a template does, in order.
pub(super) type Body = Vec<Node>;

#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    Print(Pipeline),
    If(Pipeline, Body, Body),
    With(Pipeline, Body, Body),
    Range(Pipeline, Body, Body),
    Call(String, Option<Pipeline>),
    Break,
    Continue,
}

/// Commands, each given what the one before it gives as its last argument.
#[derive(Clone, Debug)]
pub(super) struct Pipeline {
    /// The variables that take the value; whether they are new.
    pub(super) variables: Vec<String>,
    pub(super) declares: bool,
    pub(super) commands: Vec<Vec<Operand>>,
}

/// A value, and the fields that are taken out of it.
#[derive(Clone, Debug)]
pub(super) struct Operand {
    pub(super) root: Root,
    pub(super) fields: Vec<String>,
}

#[derive(Clone, Debug)]
pub(super) enum Root {
    Dot,
    Variable(String),
    Constant(Value),
    Function(String),
    Pipeline(Box<Pipeline>),
}

/// A template and those it defines.
#[derive(Clone, Debug, Default)]
pub(super) struct Parsed {
    pub(super) body: Body,
    pub(super) defined: BTreeMap<String, Body>,
}

/// What ends a list of nodes.
#[derive(PartialEq)]
enum End {
    Text,
    Here,
    Else(Vec<Token>),
}

/// Actions, with each `else if`, and parentheses may nest this deep.
const MAX_DEPTH: usize = 60;

struct Parser {
    pieces: std::vec::IntoIter<Piece>,
    defined: BTreeMap<String, Body>,
    depth: usize,
}

/// Reads a template.
pub(super) fn parse(text: &str) -> Result<Parsed, String> {
    let mut parser = Parser { pieces: pieces(text)?.into_iter(), defined: BTreeMap::new(), depth: 0 };
    let (body, end) = parser.body()?;
    match end {
        End::Text => Ok(Parsed { body, defined: parser.defined }),
        End::Here => Err("`end` without a beginning".to_owned()),
        End::Else(_) => Err("`else` without `if`, `with` or `range`".to_owned()),
    }
}

impl Parser {
    fn deeper(&mut self) -> Result<(), String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(format!("actions nest deeper than {MAX_DEPTH}")) } else { Ok(()) }
    }

    fn body(&mut self) -> Result<(Body, End), String> {
        self.deeper()?;
        let mut body = Body::new();
        while let Some(piece) = self.pieces.next() {
            let tokens = match piece {
                Piece::Text(text) => {
                    body.push(Node::Text(text));
                    continue;
                }
                Piece::Action(tokens) => tokens,
            };
            let Token::Word(keyword) = &tokens[0] else {
                body.push(Node::Print(pipeline(&tokens)?));
                continue;
            };
            let rest = &tokens[1..];
            match keyword.as_str() {
                "end" => {
                    self.depth -= 1;
                    return Ok((body, End::Here));
                }
                "else" => {
                    self.depth -= 1;
                    return Ok((body, End::Else(rest.to_vec())));
                }
                "if" => body.push(self.branches(rest)?),
                "with" => {
                    let (inner, other) = self.inner()?;
                    body.push(Node::With(pipeline(rest)?, inner, other));
                }
                "range" => {
                    let (inner, other) = self.inner()?;
                    body.push(Node::Range(pipeline(rest)?, inner, other));
                }
                "define" => {
                    let (name, _) = named(rest)?;
                    let (inner, _) = self.inner()?;
                    self.defined.insert(name, inner);
                }
                "block" => {
                    let (name, with) = named(rest)?;
                    let (inner, _) = self.inner()?;
                    self.defined.entry(name.clone()).or_insert(inner);
                    body.push(Node::Call(name, with));
                }
                "template" => {
                    let (name, with) = named(rest)?;
                    body.push(Node::Call(name, with));
                }
                "break" => body.push(Node::Break),
                "continue" => body.push(Node::Continue),
                _ => body.push(Node::Print(pipeline(&tokens)?)),
            }
        }
        self.depth -= 1;
        Ok((body, End::Text))
    }

    /// What stands up to `end`, and behind an `else`.
    fn inner(&mut self) -> Result<(Body, Body), String> {
        match self.body()? {
            (body, End::Here) => Ok((body, Body::new())),
            (body, End::Else(rest)) if rest.is_empty() => match self.body()? {
                (other, End::Here) => Ok((body, other)),
                _ => Err("`end` is missing".to_owned()),
            },
            (body, End::Else(rest)) => {
                // `else with` and `else if`.
                let rest: &[Token] = if rest.first() == Some(&Token::Space) { &rest[1..] } else { &rest };
                self.deeper()?;
                let other = match rest.first() {
                    Some(Token::Word(word)) if word == "if" => self.branches(&rest[1..])?,
                    Some(Token::Word(word)) if word == "with" => {
                        let (inner, other) = self.inner()?;
                        Node::With(pipeline(&rest[1..])?, inner, other)
                    }
                    _ => return Err("behind `else` stands nothing, `if` or `with`".to_owned()),
                };
                self.depth -= 1;
                Ok((body, vec![other]))
            }
            (_, End::Text) => Err("`end` is missing".to_owned()),
        }
    }

    fn branches(&mut self, condition: &[Token]) -> Result<Node, String> {
        let condition = pipeline(condition)?;
        let (body, other) = self.inner()?;
        Ok(Node::If(condition, body, other))
    }
}

/// A name in quotes, and the pipeline behind it.
fn named(tokens: &[Token]) -> Result<(String, Option<Pipeline>), String> {
    let tokens: &[Token] = if tokens.first() == Some(&Token::Space) { &tokens[1..] } else { tokens };
    let Some(Token::Text(name)) = tokens.first() else {
        return Err("a template's name in quotes is missing".to_owned());
    };
    let rest = &tokens[1..];
    let with = if rest.iter().all(|token| *token == Token::Space) { None } else { Some(pipeline(rest)?) };
    Ok((name.clone(), with))
}

fn pipeline(tokens: &[Token]) -> Result<Pipeline, String> {
    let mut reader = Reader { tokens, next: 0, depth: 0 };
    let pipeline = reader.pipeline()?;
    match reader.peek() {
        None => Ok(pipeline),
        Some(_) => Err("`)` without `(`".to_owned()),
    }
}

struct Reader<'a> {
    tokens: &'a [Token],
    next: usize,
    /// Parentheses that are open.
    depth: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.next)
    }

    fn spaces(&mut self) {
        while self.peek() == Some(&Token::Space) {
            self.next += 1;
        }
    }

    /// The variables in front of `:=` or `=`.
    fn variables(&mut self) -> (Vec<String>, bool) {
        let start = self.next;
        let mut names = Vec::new();
        loop {
            self.spaces();
            let Some(Token::Variable(name)) = self.peek() else { break };
            names.push(name.clone());
            self.next += 1;
            self.spaces();
            match self.peek() {
                Some(Token::Comma) => self.next += 1,
                Some(sign @ (Token::Declare | Token::Assign)) => {
                    self.next += 1;
                    return (names, *sign == Token::Declare);
                }
                _ => break,
            }
        }
        self.next = start;
        (Vec::new(), false)
    }

    fn pipeline(&mut self) -> Result<Pipeline, String> {
        let (variables, declares) = self.variables();
        let mut commands = vec![Vec::new()];
        loop {
            self.spaces();
            match self.peek() {
                None | Some(Token::Close) => break,
                Some(Token::Pipe) => {
                    self.next += 1;
                    commands.push(Vec::new());
                }
                Some(_) => {
                    let operand = self.operand()?;
                    if let Some(command) = commands.last_mut() {
                        command.push(operand);
                    }
                }
            }
        }
        if commands.iter().any(Vec::is_empty) {
            return Err("a value is missing".to_owned());
        }
        Ok(Pipeline { variables, declares, commands })
    }

    fn operand(&mut self) -> Result<Operand, String> {
        let token = self.peek().ok_or("a value is missing")?;
        self.next += 1;
        let mut fields = Vec::new();
        let root = match token {
            Token::Field(name) => {
                if !name.is_empty() {
                    fields.push(name.clone());
                }
                Root::Dot
            }
            Token::Variable(name) => Root::Variable(name.clone()),
            Token::Text(text) => Root::Constant(Value::Text(text.as_str().into())),
            Token::Integer(number) => Root::Constant(Value::Integer(*number)),
            Token::Float(number) => Root::Constant(Value::Float(*number)),
            Token::Word(word) => match word.as_str() {
                "true" => Root::Constant(Value::Bool(true)),
                "false" => Root::Constant(Value::Bool(false)),
                "nil" => Root::Constant(Value::None),
                _ => Root::Function(word.clone()),
            },
            Token::Open => {
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err(format!("parentheses nest deeper than {MAX_DEPTH}"));
                }
                let inner = self.pipeline()?;
                self.depth -= 1;
                if self.peek() != Some(&Token::Close) {
                    return Err("`)` is missing".to_owned());
                }
                self.next += 1;
                Root::Pipeline(Box::new(inner))
            }
            other => return Err(format!("{other:?} stands where a value is expected")),
        };
        while let Some(Token::Field(name)) =
            self.peek().filter(|token| !matches!(token, Token::Field(name) if name.is_empty()))
        {
            fields.push(name.clone());
            self.next += 1;
        }
        Ok(Operand { root, fields })
    }
}
