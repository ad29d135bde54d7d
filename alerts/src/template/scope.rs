//! Names that a template uses: its functions, and variables that nothing declares.

use super::parse::{Body, Node, Parsed, Pipeline, Root};
use std::collections::BTreeSet;

/// The names of all functions that nodes call.
pub(super) fn functions(body: &Body, names: &mut BTreeSet<String>) {
    for node in body {
        match node {
            Node::Text(_) | Node::Break | Node::Continue | Node::Call(_, None) => {}
            Node::Print(pipeline) | Node::Call(_, Some(pipeline)) => of_pipeline(pipeline, names),
            Node::If(pipeline, body, other)
            | Node::With(pipeline, body, other)
            | Node::Range(pipeline, body, other) => {
                of_pipeline(pipeline, names);
                functions(body, names);
                functions(other, names);
            }
        }
    }
}

fn of_pipeline(pipeline: &Pipeline, names: &mut BTreeSet<String>) {
    for operand in pipeline.commands.iter().flatten() {
        match &operand.root {
            Root::Function(name) => {
                names.insert(name.clone());
            }
            Root::Pipeline(inner) => of_pipeline(inner, names),
            Root::Dot | Root::Variable(_) | Root::Constant(_) => {}
        }
    }
}

/// A variable that is used and that nothing declares; `known` are those that are there from the beginning.
pub(super) fn undeclared<'a>(parsed: &'a Parsed, known: &[&'a str]) -> Option<&'a str> {
    let mut names: Vec<&str> = known.iter().copied().chain([""]).collect();
    // A definition sees what it is called with alone.
    in_body(&parsed.body, &mut names).or_else(|| parsed.defined.values().find_map(|body| in_body(body, &mut vec![""])))
}

fn in_body<'a>(body: &'a Body, names: &mut Vec<&'a str>) -> Option<&'a str> {
    let outer = names.len();
    for node in body {
        let before = names.len();
        let found = match node {
            Node::Text(_) | Node::Break | Node::Continue | Node::Call(_, None) => None,
            Node::Print(pipeline) | Node::Call(_, Some(pipeline)) => in_pipeline(pipeline, names),
            Node::If(pipeline, body, other)
            | Node::With(pipeline, body, other)
            | Node::Range(pipeline, body, other) => {
                let found = in_pipeline(pipeline, names).or_else(|| in_body(body, names));
                let found = found.or_else(|| in_body(other, names));
                names.truncate(before);
                found
            }
        };
        if found.is_some() {
            return found;
        }
    }
    names.truncate(outer);
    None
}

fn in_pipeline<'a>(pipeline: &'a Pipeline, names: &mut Vec<&'a str>) -> Option<&'a str> {
    for operand in pipeline.commands.iter().flatten() {
        let found = match &operand.root {
            Root::Variable(name) => (!names.contains(&name.as_str())).then_some(name.as_str()),
            Root::Pipeline(inner) => {
                let before = names.len();
                let found = in_pipeline(inner, names);
                names.truncate(before);
                found
            }
            Root::Function(_) | Root::Dot | Root::Constant(_) => None,
        };
        if found.is_some() {
            return found;
        }
    }
    for name in &pipeline.variables {
        if pipeline.declares {
            names.push(name);
        } else if !names.contains(&name.as_str()) {
            return Some(name);
        }
    }
    None
}
