//! From the text of a template to its nodes.

use super::functions::{FUNCTIONS, regex};
use super::{MAX_DEPTH, Node, Value};

/// Text, or what stands in double braces.
pub(super) enum Piece {
    Text(String),
    Action(String),
}

/// A template cut into texts and actions.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut all = Vec::new();
    let mut rest = text;
    let mut trims = false;
    loop {
        let (mut before, behind) = match rest.split_once("{{") {
            Some((before, behind)) => (before, Some(behind)),
            None => (rest, None),
        };
        if trims {
            before = before.trim_start();
        }
        let trims_before = behind.is_some_and(|behind| behind.starts_with("- "));
        if trims_before {
            before = before.trim_end();
        }
        if !before.is_empty() {
            all.push(Piece::Text(before.to_owned()));
        }
        let Some(behind) = behind else { return Ok(all) };
        let end = action_end(behind).ok_or("invalid template: unclosed action")?;
        let action = &behind[..end];
        trims = action.ends_with(" -");
        let action = action.strip_prefix("- ").unwrap_or(action);
        let action = action.strip_suffix(" -").unwrap_or(action).trim();
        if !action.starts_with("/*") {
            all.push(Piece::Action(action.to_owned()));
        }
        rest = &behind[end + 2..];
    }
}

/// Where an action ends: braces in texts do not count.
fn action_end(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut is_escaped = false;
    for (place, c) in text.char_indices() {
        match quote {
            Some('"') if is_escaped => is_escaped = false,
            Some('"') if c == '\\' => is_escaped = true,
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '`' => quote = Some(c),
            None if text[place..].starts_with("}}") => return Some(place),
            _ => {}
        }
    }
    None
}

/// Reads the pieces of a template.
pub(super) struct Reader {
    pub(super) pieces: Vec<Piece>,
    pub(super) at: usize,
    /// Blocks around this place in which the dot is not the labels.
    pub(super) changes_dot: usize,
}

/// The name of a variable, where one stands.
fn variable(word: &str) -> Option<String> {
    let name = word.trim().strip_prefix('$')?;
    (!name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_')).then(|| name.to_owned())
}

/// Names before `:=`, and what stands behind it.
fn assigned(text: &str) -> Option<(Vec<String>, &str)> {
    let (names, rest) = text.split_once(":=").or_else(|| text.split_once('='))?;
    Some((names.split(',').map(variable).collect::<Option<Vec<_>>>()?, rest))
}

impl Reader {
    /// Reads a pipeline; a label of a label is none.
    fn value(&self, text: &str) -> Result<Value, String> {
        let found = value(text)?;
        if self.changes_dot == 0
            && let Some(path) = deep_path(&found)
        {
            return Err(format!("invalid template: `.{}` is not a label", path.join(".")));
        }
        Ok(found)
    }

    /// What stands between a `range` or `with` and its `end`.
    fn block(&mut self, text: &str, is_range: bool, depth: usize) -> Result<Node, String> {
        let (mut names, over) = assigned(text).unwrap_or((Vec::new(), text));
        let over = self.value(over)?;
        let word = if is_range { "range" } else { "with" };
        self.changes_dot += 1;
        let (body, end) = self.nodes(depth + 1)?;
        self.changes_dot -= 1;
        let end = end.ok_or_else(|| format!("invalid template: a `{word}` has no `end`"))?;
        let mut otherwise = Vec::new();
        if end == "else" {
            let (nodes, end) = self.nodes(depth + 1)?;
            if end.as_deref() != Some("end") {
                return Err("invalid template: an `else` has no `end`".to_owned());
            }
            otherwise = nodes;
        } else if end != "end" {
            return Err(format!("invalid template: `{end}` is not supported"));
        }
        if names.len() > if is_range { 2 } else { 1 } {
            return Err(format!("invalid template: too many declarations in {word}"));
        }
        let item = names.pop();
        if is_range {
            return Ok(Node::Range([names.pop(), item], over, body, otherwise));
        }
        Ok(Node::With(item, over, body, otherwise))
    }

    /// Nodes up to an `else` or `end`, which is given back.
    pub(super) fn nodes(&mut self, depth: usize) -> Result<(Vec<Node>, Option<String>), String> {
        if depth > MAX_DEPTH {
            return Err(format!("invalid template: blocks nest deeper than {MAX_DEPTH}"));
        }
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.get(self.at) {
            self.at += 1;
            let action = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text.clone()));
                    continue;
                }
                Piece::Action(action) => action.clone(),
            };
            let word = action.split_whitespace().next().unwrap_or_default();
            match word {
                "end" | "else" => return Ok((nodes, Some(action))),
                "if" => nodes.push(self.branches(&action["if".len()..], depth)?),
                "range" => nodes.push(self.block(&action["range".len()..], true, depth)?),
                "with" => nodes.push(self.block(&action["with".len()..], false, depth)?),
                "define" | "template" | "block" | "break" | "continue" => {
                    return Err(format!("invalid template: `{word}` is not supported"));
                }
                word if word.starts_with('$') && assigned(&action).is_some() => {
                    let (mut names, rest) = assigned(&action).unwrap_or_default();
                    let (Some(name), true) = (names.pop(), names.is_empty()) else {
                        return Err(format!("invalid template: too many declarations in {action:?}"));
                    };
                    nodes.push(Node::Set(name, self.value(rest)?));
                }
                _ => nodes.push(Node::Print(self.value(&action)?)),
            }
        }
        Ok((nodes, None))
    }

    fn branches(&mut self, condition: &str, depth: usize) -> Result<Node, String> {
        let mut branches = Vec::new();
        let mut condition = self.value(condition)?;
        loop {
            let (nodes, end) = self.nodes(depth + 1)?;
            branches.push((condition, nodes));
            let end = end.ok_or("invalid template: an `if` has no `end`")?;
            let Some(rest) = end.strip_prefix("else") else { return Ok(Node::If(branches, Vec::new())) };
            match rest.trim().strip_prefix("if ") {
                Some(next) => condition = self.value(next)?,
                None => {
                    let (otherwise, end) = self.nodes(depth + 1)?;
                    if end.as_deref() != Some("end") {
                        return Err("invalid template: an `else` has no `end`".to_owned());
                    }
                    return Ok(Node::If(branches, otherwise));
                }
            }
        }
    }
}

/// A path of several names from the dot.
fn deep_path(value: &Value) -> Option<&[String]> {
    match value {
        Value::Dot(path) if path.len() > 1 => Some(path),
        Value::Call(_, arguments) => arguments.iter().find_map(deep_path),
        _ => None,
    }
}

/// Reads a pipeline.
fn value(text: &str) -> Result<Value, String> {
    let tokens = tokens(text)?;
    let mut at = 0;
    let found = pipeline(&tokens, &mut at, 0)?;
    if at < tokens.len() {
        return Err(format!("invalid template: unexpected {:?} in {text:?}", tokens[at]));
    }
    Ok(found)
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Text(String),
    Word(String),
    Mark(char),
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut all = Vec::new();
    let mut rest = text.trim_start();
    while let Some(c) = rest.chars().next() {
        match c {
            '"' => {
                let end = action_text_end(rest).ok_or("invalid template: unterminated quoted string")?;
                let text = serde_json::from_str(&rest[..end]).map_err(|_| "invalid template: invalid quoted string")?;
                all.push(Token::Text(text));
                rest = &rest[end..];
            }
            '`' => {
                let (text, behind) =
                    rest[1..].split_once('`').ok_or("invalid template: unterminated raw quoted string")?;
                all.push(Token::Text(text.to_owned()));
                rest = behind;
            }
            '(' | ')' | '|' => {
                all.push(Token::Mark(c));
                rest = &rest[1..];
            }
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '|' | '"' | '`'));
                let end = end.unwrap_or(rest.len());
                all.push(Token::Word(rest[..end].to_owned()));
                rest = &rest[end..];
            }
        }
        rest = rest.trim_start();
    }
    Ok(all)
}

/// Where a text in quotes ends, the quote included.
fn action_text_end(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    for (place, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return Some(place + 1),
            _ => {}
        }
    }
    None
}

fn pipeline(tokens: &[Token], at: &mut usize, depth: usize) -> Result<Value, String> {
    if depth > MAX_DEPTH {
        return Err(format!("invalid template: expressions nest deeper than {MAX_DEPTH}"));
    }
    let mut found = command(tokens, at, depth, None)?;
    while tokens.get(*at) == Some(&Token::Mark('|')) {
        *at += 1;
        found = command(tokens, at, depth, Some(found))?;
    }
    Ok(found)
}

/// A value, or a function with its arguments; what was piped in is the last argument.
fn command(tokens: &[Token], at: &mut usize, depth: usize, piped: Option<Value>) -> Result<Value, String> {
    let Some(Token::Word(word)) = tokens.get(*at) else {
        return if piped.is_some() {
            Err("invalid template: non executable command in pipeline".to_owned())
        } else {
            operand(tokens, at, depth)
        };
    };
    let Some((name, fewest, most)) = FUNCTIONS.iter().find(|(name, _, _)| name == word) else {
        if piped.is_none() && !word.starts_with(|c: char| c.is_alphabetic())
            || matches!(word.as_str(), "true" | "false")
        {
            return operand(tokens, at, depth);
        }
        return Err(format!("invalid template: function {word:?} is not supported"));
    };
    *at += 1;
    let mut arguments = Vec::new();
    while tokens.get(*at).is_some_and(|token| !matches!(token, Token::Mark('|' | ')'))) {
        arguments.push(operand(tokens, at, depth)?);
    }
    arguments.extend(piped);
    if !(*fewest..=*most).contains(&arguments.len()) {
        return Err(format!("invalid template: wrong number of arguments for {name}: {}", arguments.len()));
    }
    if let ("regexReplaceAll" | "regexReplaceAllLiteral" | "count", Some(Value::Text(expression))) =
        (*name, arguments.first())
    {
        regex(expression)?;
    }
    Ok(Value::Call((*name).to_owned(), arguments))
}

fn operand(tokens: &[Token], at: &mut usize, depth: usize) -> Result<Value, String> {
    let token = tokens.get(*at).ok_or("invalid template: missing value for command")?;
    *at += 1;
    match token {
        Token::Text(text) => Ok(Value::Text(text.clone())),
        Token::Mark('(') => {
            let inner = pipeline(tokens, at, depth + 1)?;
            if tokens.get(*at) != Some(&Token::Mark(')')) {
                return Err("invalid template: unclosed left paren".to_owned());
            }
            *at += 1;
            Ok(inner)
        }
        Token::Mark(mark) => Err(format!("invalid template: unexpected {mark:?}")),
        Token::Word(word) => {
            let names = |path: &str| path.split('.').filter(|name| !name.is_empty()).map(str::to_owned).collect();
            if let Some(path) = word.strip_prefix('.') {
                return Ok(Value::Dot(names(path)));
            }
            if let Some(path) = word.strip_prefix('$') {
                let (name, path) = path.split_once('.').unwrap_or((path, ""));
                return Ok(Value::Variable(name.to_owned(), names(path)));
            }
            if let Ok(number) = word.parse::<f64>() {
                return Ok(Value::Number(number));
            }
            if FUNCTIONS.iter().any(|(name, fewest, _)| name == word && *fewest == 0) {
                return Ok(Value::Call(word.clone(), Vec::new()));
            }
            match word.as_str() {
                "true" => Ok(Value::Call("not".to_owned(), vec![Value::Text(String::new())])),
                "false" => Ok(Value::Text(String::new())),
                _ => Err(format!("invalid template: {word:?} is not a value that is supported")),
            }
        }
    }
}
