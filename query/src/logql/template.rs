//! Templates as Go writes them, as far as LogQL's formats use them: labels, texts, pipes, functions, `if`.

mod functions;

use super::stage::Labels;
use functions::{FUNCTIONS, Found, on_numbers, on_texts, regex};

/// How deep expressions and blocks may nest.
const MAX_DEPTH: usize = 32;
/// A rendered line may be so long.
const MAX_BYTES: usize = 1 << 20;

/// A template, read once.
#[derive(Clone, Debug)]
pub(super) struct Template(Vec<Node>);

#[derive(Clone, Debug)]
enum Node {
    Text(String),
    Print(Value),
    If(Vec<(Value, Vec<Node>)>, Vec<Node>),
}

#[derive(Clone, Debug)]
enum Value {
    Text(String),
    Number(f64),
    Label(String),
    Call(String, Vec<Value>),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it, or what of Go's templates is not supported here.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut reader = Reader { pieces: pieces(text)?, at: 0 };
        let (nodes, end) = reader.nodes(0)?;
        match end {
            None => Ok(Self(nodes)),
            Some(word) => Err(format!("invalid template: unexpected {{{{{word}}}}}")),
        }
    }

    /// The text that it makes of a line.
    pub(super) fn render(&self, labels: &Labels, line: &str, time: i64) -> Result<String, String> {
        let mut out = String::new();
        let context = Context { labels, line, time };
        context.render(&self.0, &mut out)?;
        Ok(out)
    }
}

/// Text, or what stands in double braces.
enum Piece {
    Text(String),
    Action(String),
}

fn pieces(text: &str) -> Result<Vec<Piece>, String> {
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

struct Reader {
    pieces: Vec<Piece>,
    at: usize,
}

impl Reader {
    /// Nodes up to an `else` or `end`, which is given back.
    fn nodes(&mut self, depth: usize) -> Result<(Vec<Node>, Option<String>), String> {
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
                "range" | "with" | "define" | "template" | "block" | "break" | "continue" => {
                    return Err(format!("invalid template: `{word}` is not supported"));
                }
                _ => nodes.push(Node::Print(value(&action)?)),
            }
        }
        Ok((nodes, None))
    }

    fn branches(&mut self, condition: &str, depth: usize) -> Result<Node, String> {
        let mut branches = Vec::new();
        let mut condition = value(condition)?;
        loop {
            let (nodes, end) = self.nodes(depth + 1)?;
            branches.push((condition, nodes));
            let end = end.ok_or("invalid template: an `if` has no `end`")?;
            let Some(rest) = end.strip_prefix("else") else { return Ok(Node::If(branches, Vec::new())) };
            match rest.trim().strip_prefix("if ") {
                Some(next) => condition = value(next)?,
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
            if let Some(label) = word.strip_prefix('.') {
                return if label.contains('.') {
                    Err(format!("invalid template: `{word}` is not a label"))
                } else {
                    Ok(Value::Label(label.to_owned()))
                };
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

struct Context<'a> {
    labels: &'a Labels,
    line: &'a str,
    time: i64,
}

impl Context<'_> {
    fn render(&self, nodes: &[Node], out: &mut String) -> Result<(), String> {
        for node in nodes {
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Print(value) => out.push_str(&self.value(value)?.text()),
                Node::If(branches, otherwise) => {
                    let mut chosen = otherwise;
                    for (condition, nodes) in branches {
                        if self.value(condition)?.is_true() {
                            chosen = nodes;
                            break;
                        }
                    }
                    self.render(chosen, out)?;
                }
            }
            if out.len() > MAX_BYTES {
                return Err(format!("the line is longer than {MAX_BYTES} bytes"));
            }
        }
        Ok(())
    }

    fn value(&self, value: &Value) -> Result<Found, String> {
        Ok(match value {
            Value::Text(text) => Found::Text(text.clone()),
            Value::Number(number) => Found::Number(*number),
            Value::Label(name) => Found::Text(self.labels.get(name).to_owned()),
            Value::Call(name, arguments) => {
                let arguments = arguments.iter().map(|value| self.value(value)).collect::<Result<Vec<_>, _>>()?;
                self.call(name, &arguments)?
            }
        })
    }

    fn call(&self, name: &str, arguments: &[Found]) -> Result<Found, String> {
        match name {
            "__line__" => Ok(Found::Text(self.line.to_owned())),
            "__timestamp__" => {
                let time = chrono::DateTime::from_timestamp_nanos(self.time);
                Ok(Found::Text(time.format("%Y-%m-%d %H:%M:%S%.9f +0000 UTC").to_string()))
            }
            _ => match on_numbers(name, arguments) {
                Some(found) => found,
                None => on_texts(name, arguments),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_rendered_as_go_renders_them() {
        let mut labels = Labels::default();
        for (name, value) in [("app", "Web"), ("status", "503"), ("took", "1.5s"), ("empty", "")] {
            labels.extract(name, value);
        }
        let cases = [
            ("plain", "plain"),
            ("{{.app}}-{{ .status }}", "Web-503"),
            ("{{ .app | ToLower | printf \"%-5s|\" }}", "web  |"),
            ("{{ if eq .status \"503\" }}bad{{ else if .app }}x{{ else }}good{{ end }}", "bad"),
            ("{{ if .empty }}a{{ else }}b{{ end }}", "b"),
            ("{{ if and (gt (int .status) 499) (hasPrefix \"W\" .app) }}yes{{end}}", "yes"),
            ("{{ __line__ | upper }}", "THE LINE"),
            ("{{ regexReplaceAll \"(\\\\w)eb\" .app \"$1ob\" }}", "Wob"),
            ("{{ div 7 2 }} {{ addf 1.5 2 }} {{ duration_seconds .took }}", "3 3.5 1.5"),
            ("{{ .gone | default \"none\" }}", "none"),
            ("{{ Replace .status \"0\" \"-\" -1 }}{{ trunc 2 .app }}", "5-3We"),
            ("a {{- .app -}} b", "aWebb"),
            ("{{ \"}}\" }}{{ `\"` }}", "}}\""),
            ("{{ urlencode \"a b&c\" }} {{ urldecode \"a+b%26c\" }}", "a+b%26c a b&c"),
            ("{{ printf \"%05d %.2f %q\" 42 1.005 .app }}", "00042 1.00 \"Web\""),
            ("{{ __timestamp__ }}", "1970-01-01 00:00:01.000000000 +0000 UTC"),
        ];
        for (template, expected) in cases {
            let template = Template::read(template).unwrap_or_else(|error| panic!("{template}: {error}"));
            assert_eq!(template.render(&labels, "the line", 1_000_000_000).as_deref(), Ok(expected), "{template:?}");
        }
        for wrong in [
            "{{",
            "{{ .a",
            "{{ nothing .a }}",
            "{{ range .a }}{{end}}",
            "{{ if .a }}",
            "{{ end }}",
            "{{ ToLower }}",
            "{{ fromJson .a }}",
            "{{ (.a }}",
            "{{ .a.b }}",
        ] {
            Template::read(wrong).expect_err(wrong);
        }
    }
}
