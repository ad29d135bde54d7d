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
/// Bytes that one execution may make and hand on between functions, all of them added up.
const MAX_WORK: usize = 64 << 20;
/// How deep templates may call each other.
const MAX_CALLS: usize = 30;
/// How deep actions and parentheses may nest over all calls.
const MAX_NESTED: usize = 150;
/// Functions that only look at what they are given, or pick something out of it.
const LOOKING: [&str; 7] = ["len", "index", "first", "not", "label", "value", "query"];
/// Functions behind which a value is not escaped again.
const ESCAPED: [&str; 5] = ["safeHtml", "safeUrl", "html", "js", "urlquery"];

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
    work: usize,
    calls: usize,
    nested: usize,
    escapes: bool,
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
        work: 0,
        calls: 0,
        nested: 0,
        escapes: scope.escapes,
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

    /// Takes the size of values out of what an execution may make.
    fn weigh(&mut self, values: &[Value]) -> Result<(), Failure> {
        let mut left = functions::MAX_VALUE;
        for value in values {
            let weight = value.weight(left);
            left -= weight.ok_or_else(|| wrong("a value of the template is too large, or nests too deep"))?;
        }
        self.spend(functions::MAX_VALUE - left)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), Failure> {
        self.work += bytes;
        if self.work > MAX_WORK {
            return Err(wrong(format!("the template makes more than {MAX_WORK} bytes")));
        }
        Ok(())
    }

    /// Goes one level deeper; who does so comes back, unless all fails.
    fn deeper(&mut self) -> Result<(), Failure> {
        self.nested += 1;
        if self.nested > MAX_NESTED {
            return Err(wrong(format!("the template nests deeper than {MAX_NESTED}")));
        }
        Ok(())
    }

    fn body(&mut self, body: &Body, dot: &Value) -> Result<Flow, Failure> {
        self.deeper()?;
        let flow = self.nodes(body, dot);
        self.nested -= 1;
        flow
    }

    fn nodes(&mut self, body: &Body, dot: &Value) -> Result<Flow, Failure> {
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
                    let text = value.text();
                    let text = if self.escapes && !is_escaped(pipeline) { functions::escaped(&text) } else { text };
                    self.write(&text)?;
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
        let body =
            *self.defined.get(name).ok_or_else(|| Failure::Missing(format!("template {name:?} is not defined")))?;
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
        self.spend(items.len() * 16)?;
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
        self.deeper()?;
        let mut value = None;
        for command in &pipeline.commands {
            value = Some(self.command(command, value, dot)?);
        }
        self.nested -= 1;
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
                // It is a value like others: what writes it escapes it.
                let escapes = std::mem::replace(&mut self.escapes, false);
                self.call(template, with)?;
                self.escapes = escapes;
                let value = [Value::from(std::mem::replace(&mut self.out, before))];
                self.weigh(&value)?;
                let [value] = value;
                value
            } else {
                self.function(name, &arguments)?
            };
            return fields(value, &first.fields);
        }
        if rest.is_empty() && last.is_none() {
            return self.operand(first, dot);
        }
        // A method with arguments.
        let Some((method, before)) = first.fields.split_last() else {
            return Err(Failure::Wrong("only a function takes arguments".to_owned()));
        };
        let base = fields(self.root(&first.root, dot)?, before)?;
        let mut arguments = rest.iter().map(|operand| self.operand(operand, dot)).collect::<Result<Vec<_>, _>>()?;
        arguments.extend(last);
        self::method(&base, method, &arguments)
    }

    fn function(&mut self, name: &str, arguments: &[Value]) -> Result<Value, Failure> {
        if LOOKING.contains(&name) {
            return functions::call(name, arguments, self.scope);
        }
        self.weigh(arguments)?;
        if name == "match" || name == "reReplaceAll" {
            // An expression has to be built.
            self.spend(16 << 10)?;
        }
        let value = functions::call(name, arguments, self.scope)?;
        self.weigh(std::slice::from_ref(&value))?;
        Ok(value)
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, Failure> {
        fields(self.root(&operand.root, dot)?, &operand.fields)
    }

    fn root(&mut self, root: &Root, dot: &Value) -> Result<Value, Failure> {
        Ok(match root {
            Root::Dot => dot.clone(),
            Root::Constant(value) => value.clone(),
            Root::Variable(name) => {
                let known = self.variables.iter().rev().find(|(known, _)| known == name);
                known.map(|(_, value)| value.clone()).ok_or_else(|| wrong(format!("undefined variable \"${name}\"")))?
            }
            Root::Function(name) => self.function(name, &[])?,
            Root::Pipeline(pipeline) => {
                let known = self.variables.len();
                let value = self.pipeline(pipeline, dot)?;
                self.variables.truncate(known);
                value
            }
        })
    }
}

/// Whether the last function of a pipeline says that its value is escaped, or must not be.
fn is_escaped(pipeline: &Pipeline) -> bool {
    let first = pipeline.commands.last().and_then(|command| command.first());
    first.is_some_and(|one| matches!(&one.root, Root::Function(name) if ESCAPED.contains(&name.as_str())))
}

/// What a method with arguments gives.
fn method(value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Failure> {
    let given = match (value, name, arguments) {
        (Value::Texts(all), "Remove", [Value::List(names)]) => {
            let names: Vec<String> = names.iter().map(Value::text).collect();
            let left = all.iter().filter(|(name, _)| !names.contains(name));
            Some(Ok(Value::texts(left.map(|(name, value)| (name.clone(), value.clone())))))
        }
        (Value::Time(moment), ..) => super::time::of_moment(moment, name, arguments),
        (Value::Duration(ns), ..) => super::time::of_duration(*ns, name, arguments).map(Ok),
        _ => None,
    };
    let none = || Failure::Missing(format!("{name} does not take these arguments"));
    given.ok_or_else(none)?.map_err(Failure::Wrong)
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
                let missing = || Failure::Missing(format!("can't evaluate field {name}"));
                all.get(name.as_str()).cloned().ok_or_else(missing)?
            }
            Value::List(all) if name == "Firing" || name == "Resolved" => {
                let wanted = name.to_lowercase();
                let is_wanted = |one: &&Value| matches!(one, Value::Record(fields) if fields.get("Status") == Some(&wanted.as_str().into()));
                all.iter().filter(is_wanted).cloned().collect::<Vec<_>>().into()
            }
            // What `SortedPairs` gives.
            Value::List(all) if name == "Names" || name == "Values" => {
                let key = name.trim_end_matches('s');
                let part = |one: &Value| match one {
                    Value::Record(fields) => fields.get(key).cloned(),
                    _ => None,
                };
                let missing = || Failure::Missing(format!("can't evaluate field {name} of a list"));
                all.iter().map(part).collect::<Option<Vec<_>>>().ok_or_else(missing)?.into()
            }
            Value::Time(moment) => {
                let missing = || Failure::Missing(format!("can't evaluate field {name} of a time"));
                super::time::of_moment(moment, name, &[]).ok_or_else(missing)?.map_err(Failure::Wrong)?
            }
            Value::Duration(ns) => {
                let missing = || Failure::Missing(format!("can't evaluate field {name} of a duration"));
                super::time::of_duration(*ns, name, &[]).ok_or_else(missing)?
            }
            Value::None => return Err(wrong(format!("nil data; no entry for key {name:?}"))),
            other => return Err(Failure::Missing(format!("can't evaluate field {name} of {}", other.text()))),
        };
    }
    Ok(value)
}
