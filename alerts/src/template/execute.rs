//! Carrying out a template's tree.

use super::functions;
use super::parse::{Body, Node, Operand, Parsed, Pipeline, Root};
use super::value::Value;
use super::{Failure, Scope};
use std::collections::BTreeMap;

/// Steps of one execution.
const MAX_STEPS: usize = 200_000;
/// Bytes that one execution may write.
const MAX_BYTES: usize = 1 << 20;
/// How deep templates may call each other.
const MAX_CALLS: usize = 30;

/// What a body asks of the loop around it.
#[derive(PartialEq)]
enum Flow {
    On,
    Break,
    Continue,
}

pub(super) struct Run<'a> {
    pub(super) defined: BTreeMap<&'a str, &'a Body>,
    pub(super) scope: &'a Scope<'a>,
    variables: Vec<(String, Value)>,
    out: String,
    steps: usize,
    calls: usize,
}

/// Carries out a template and gives what it writes.
pub(super) fn execute(parsed: &Parsed, others: &[&Parsed], scope: &Scope<'_>) -> Result<String, Failure> {
    let defined = others.iter().flat_map(|other| &other.defined).chain(&parsed.defined);
    let mut run = Run {
        defined: defined.map(|(name, body)| (name.as_str(), body)).collect(),
        scope,
        variables: Vec::new(),
        out: String::new(),
        steps: 0,
        calls: 0,
    };
    run.variables.push((String::new(), scope.dot.clone()));
    run.variables.extend(scope.variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    run.body(&parsed.body, &scope.dot)?;
    Ok(run.out)
}

fn wrong(message: impl Into<String>) -> Failure {
    Failure::Wrong(message.into())
}

impl Run<'_> {
    fn write(&mut self, text: &str) -> Result<(), Failure> {
        if self.out.len() + text.len() > MAX_BYTES {
            return Err(wrong(format!("the template writes more than {MAX_BYTES} bytes")));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn step(&mut self) -> Result<(), Failure> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(wrong(format!("the template takes more than {MAX_STEPS} steps")));
        }
        Ok(())
    }

    fn body(&mut self, body: &Body, dot: &Value) -> Result<Flow, Failure> {
        let known = self.variables.len();
        for node in body {
            self.step()?;
            let flow = self.node(node, dot)?;
            if flow != Flow::On {
                self.variables.truncate(known);
                return Ok(flow);
            }
        }
        self.variables.truncate(known);
        Ok(Flow::On)
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<Flow, Failure> {
        match node {
            Node::Text(text) => self.write(text)?,
            Node::Print(pipeline) => {
                let value = self.pipeline(pipeline, dot)?;
                if pipeline.variables.is_empty() {
                    self.write(&value.text())?;
                }
            }
            Node::If(condition, body, other) => {
                let known = self.variables.len();
                let is_true = self.pipeline(condition, dot)?.is_true();
                let flow = self.body(if is_true { body } else { other }, dot)?;
                self.variables.truncate(known);
                return Ok(flow);
            }
            Node::With(pipeline, body, other) => {
                let known = self.variables.len();
                let value = self.pipeline(pipeline, dot)?;
                let flow = if value.is_true() { self.body(body, &value)? } else { self.body(other, dot)? };
                self.variables.truncate(known);
                return Ok(flow);
            }
            Node::Range(pipeline, body, other) => return self.range(pipeline, body, other, dot),
            Node::Call(name, with) => {
                let value = with.as_ref().map_or(Ok(Value::None), |with| self.pipeline(with, dot))?;
                self.call(name, &value)?;
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn call(&mut self, name: &str, dot: &Value) -> Result<(), Failure> {
        let body = *self.defined.get(name).ok_or_else(|| wrong(format!("template {name:?} is not defined")))?;
        self.calls += 1;
        if self.calls > MAX_CALLS {
            return Err(wrong(format!("templates call each other deeper than {MAX_CALLS}")));
        }
        let outer = std::mem::replace(&mut self.variables, vec![(String::new(), dot.clone())]);
        self.body(body, dot)?;
        self.variables = outer;
        self.calls -= 1;
        Ok(())
    }

    fn range(&mut self, pipeline: &Pipeline, body: &Body, other: &Body, dot: &Value) -> Result<Flow, Failure> {
        let known = self.variables.len();
        let plain = Pipeline { variables: Vec::new(), declares: false, commands: pipeline.commands.clone() };
        let items: Vec<(Value, Value)> = match self.pipeline(&plain, dot)? {
            Value::None => Vec::new(),
            Value::List(all) => {
                all.iter().enumerate().map(|(at, one)| (Value::Integer(at as i64), one.clone())).collect()
            }
            Value::Texts(all) => {
                all.iter().map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect()
            }
            Value::Record(all) => all.iter().map(|(name, value)| ((*name).into(), value.clone())).collect(),
            Value::Integer(count) => {
                (0..count.clamp(0, 10_000)).map(|at| (Value::Integer(at), Value::Integer(at))).collect()
            }
            other => return Err(wrong(format!("range cannot go over {}", other.text()))),
        };
        if items.is_empty() {
            return self.body(other, dot);
        }
        for (key, item) in items {
            self.step()?;
            match pipeline.variables.as_slice() {
                [] => {}
                [one] => self.variables.push((one.clone(), item.clone())),
                [first, second, ..] => {
                    self.variables.push((first.clone(), key));
                    self.variables.push((second.clone(), item.clone()));
                }
            }
            let flow = self.body(body, &item)?;
            self.variables.truncate(known);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    fn pipeline(&mut self, pipeline: &Pipeline, dot: &Value) -> Result<Value, Failure> {
        let mut value = None;
        for command in &pipeline.commands {
            value = Some(self.command(command, value, dot)?);
        }
        let value = value.unwrap_or_default();
        for name in &pipeline.variables {
            if pipeline.declares {
                self.variables.push((name.clone(), value.clone()));
            } else {
                let known = self.variables.iter_mut().rev().find(|(known, _)| known == name);
                known.ok_or_else(|| wrong(format!("variable ${name} is not declared")))?.1 = value.clone();
            }
        }
        Ok(value)
    }

    fn command(&mut self, command: &[Operand], last: Option<Value>, dot: &Value) -> Result<Value, Failure> {
        self.step()?;
        let (first, rest) = command.split_first().ok_or_else(|| wrong("a value is missing"))?;
        if let Root::Function(name) = &first.root {
            // These look at no more than they need.
            if name == "and" || name == "or" {
                let mut value = Value::None;
                for operand in rest {
                    value = self.operand(operand, dot)?;
                    if value.is_true() == (name == "or") {
                        return Ok(value);
                    }
                }
                return Ok(last.unwrap_or(value));
            }
            let mut arguments = rest.iter().map(|operand| self.operand(operand, dot)).collect::<Result<Vec<_>, _>>()?;
            arguments.extend(last);
            let value = if name == "tmpl" {
                let [Value::Text(template), with] = arguments.as_slice() else {
                    return Err(wrong("tmpl takes a template's name and a value"));
                };
                let before = std::mem::take(&mut self.out);
                self.call(template, with)?;
                Value::from(std::mem::replace(&mut self.out, before))
            } else {
                functions::call(name, &arguments, self.scope)?
            };
            return fields(value, &first.fields);
        }
        if !rest.is_empty() || last.is_some() {
            // `.Labels.Remove`, `.Alerts.Firing` and the like take no arguments here.
            return Err(wrong("only a function takes arguments"));
        }
        self.operand(first, dot)
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, Failure> {
        let value = match &operand.root {
            Root::Dot => dot.clone(),
            Root::Constant(value) => value.clone(),
            Root::Variable(name) => {
                let known = self.variables.iter().rev().find(|(known, _)| known == name);
                known.map(|(_, value)| value.clone()).ok_or_else(|| wrong(format!("undefined variable \"${name}\"")))?
            }
            Root::Function(name) => functions::call(name, &[], self.scope)?,
            Root::Pipeline(pipeline) => {
                let known = self.variables.len();
                let value = self.pipeline(pipeline, dot)?;
                self.variables.truncate(known);
                value
            }
        };
        fields(value, &operand.fields)
    }
}

/// Takes fields out of a value, one out of the other.
fn fields(value: Value, names: &[String]) -> Result<Value, Failure> {
    let mut value = value;
    for name in names {
        value = match &value {
            Value::Texts(all) => match (all.get(name), name.as_str()) {
                (Some(text), _) => text.as_str().into(),
                (None, "SortedPairs") => {
                    let pair = |(name, value): (&String, &String)| {
                        Value::record([("Name", name.as_str().into()), ("Value", value.as_str().into())])
                    };
                    all.iter().map(pair).collect::<Vec<_>>().into()
                }
                (None, "Names") => all.keys().map(|name| name.as_str().into()).collect::<Vec<_>>().into(),
                (None, "Values") => all.values().map(|value| value.as_str().into()).collect::<Vec<_>>().into(),
                (None, _) => "".into(),
            },
            Value::Record(all) => {
                all.get(name.as_str()).cloned().ok_or_else(|| wrong(format!("can't evaluate field {name}")))?
            }
            Value::List(all) if name == "Firing" || name == "Resolved" => {
                let wanted = name.to_lowercase();
                let is_wanted = |one: &&Value| matches!(one, Value::Record(fields) if fields.get("Status") == Some(&wanted.as_str().into()));
                all.iter().filter(is_wanted).cloned().collect::<Vec<_>>().into()
            }
            Value::Time(time) => match name.as_str() {
                "Unix" => Value::Integer(time.div_euclid(1_000_000_000)),
                "UTC" | "Local" => value.clone(),
                "String" => value.text().into(),
                _ => return Err(wrong(format!("can't evaluate field {name} of a time"))),
            },
            Value::None => return Err(wrong(format!("nil data; no entry for key {name:?}"))),
            other => return Err(wrong(format!("can't evaluate field {name} of {}", other.text()))),
        };
    }
    Ok(value)
}
