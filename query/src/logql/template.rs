//! Templates as Go writes them, as far as LogQL's formats use them: labels, texts, pipes, functions, `if`, `range`, `with`, variables.

mod functions;
mod read;

use super::stage::Labels;
use functions::{Found, on_numbers, on_texts};
use read::{Reader, pieces};
use serde_json::Value as Json;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// How deep expressions and blocks may nest.
const MAX_DEPTH: usize = 32;
/// A rendered line may be so long.
const MAX_BYTES: usize = 1 << 20;
/// Rounds of all `range` of one line.
const MAX_ROUNDS: usize = 10_000;

/// A template, read once.
#[derive(Clone, Debug)]
pub(super) struct Template(Vec<Node>);

#[derive(Clone, Debug)]
enum Node {
    Text(String),
    Print(Value),
    If(Vec<(Value, Vec<Node>)>, Vec<Node>),
    /// The names of place and item, what is gone through, what is made of each item, and of nothing.
    Range([Option<String>; 2], Value, Vec<Node>, Vec<Node>),
    With(Option<String>, Value, Vec<Node>, Vec<Node>),
    Set(String, Value),
}

#[derive(Clone, Debug)]
enum Value {
    Text(String),
    Number(f64),
    /// Of what the dot is, the member by these names; the labels at first.
    Dot(Vec<String>),
    /// A variable, and of it the member by these names; without a name, the labels.
    Variable(String, Vec<String>),
    Call(String, Vec<Value>),
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// What is wrong with it, or what of Go's templates is not supported here.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut reader = Reader { pieces: pieces(text)?, at: 0, changes_dot: 0 };
        let (nodes, end) = reader.nodes(0)?;
        match end {
            None => Ok(Self(nodes)),
            Some(word) => Err(format!("invalid template: unexpected {{{{{word}}}}}")),
        }
    }

    /// The text that it makes of a line.
    pub(super) fn render(&self, labels: &Labels, line: &str, time: i64) -> Result<String, String> {
        let mut out = String::new();
        let (variables, rounds) = (RefCell::default(), Cell::default());
        let context = Context { labels, line, time, variables, rounds };
        context.render(&self.0, None, &mut out)?;
        Ok(out)
    }
}

struct Context<'a> {
    labels: &'a Labels,
    line: &'a str,
    time: i64,
    /// Variables by their names, the newest last.
    variables: RefCell<Vec<(String, Found)>>,
    rounds: Cell<usize>,
}

/// A member of a member of a value; what is not there is nothing.
fn member(value: &Json, path: &[String]) -> Found {
    let found = path.iter().try_fold(value, |value, name| value.get(name));
    Found::of_json(found.unwrap_or(&Json::Null))
}

impl Context<'_> {
    /// Makes the text of some nodes; `dot` is what the dot stands for, the labels at first.
    fn render(&self, nodes: &[Node], dot: Option<&Json>, out: &mut String) -> Result<(), String> {
        let known = self.variables.borrow().len();
        let rendered = self.each(nodes, dot, out);
        // Variables end with their block.
        self.variables.borrow_mut().truncate(known);
        rendered
    }

    fn set(&self, name: &str, value: Found) {
        self.variables.borrow_mut().push((name.to_owned(), value));
    }

    fn range(
        &self,
        node: (&[Option<String>; 2], &Value, &[Node], &[Node]),
        dot: Option<&Json>,
        out: &mut String,
    ) -> Result<(), String> {
        let (names, over, body, otherwise) = node;
        let over = self.value(over, dot)?;
        let items: Vec<(Found, Json)> = match over.json() {
            Json::Array(items) => {
                items.into_iter().enumerate().map(|(place, item)| (Found::Number(place as f64), item)).collect()
            }
            Json::Object(members) => {
                let sorted: BTreeMap<String, Json> = members.into_iter().collect();
                sorted.into_iter().map(|(name, item)| (Found::Text(name), item)).collect()
            }
            Json::Null => Vec::new(),
            _ => return Err(format!("range cannot go through {}", over.text())),
        };
        if items.is_empty() {
            return self.render(otherwise, dot, out);
        }
        for (place, item) in items {
            self.rounds.set(self.rounds.get() + 1);
            if self.rounds.get() > MAX_ROUNDS {
                return Err(format!("range goes through more than {MAX_ROUNDS} items"));
            }
            let known = self.variables.borrow().len();
            for (name, value) in names.iter().zip([place, Found::of_json(&item)]) {
                if let Some(name) = name {
                    self.set(name, value);
                }
            }
            let rendered = self.render(body, Some(&item), out);
            self.variables.borrow_mut().truncate(known);
            rendered?;
        }
        Ok(())
    }

    fn each(&self, nodes: &[Node], dot: Option<&Json>, out: &mut String) -> Result<(), String> {
        for node in nodes {
            match node {
                Node::Text(text) => out.push_str(text),
                Node::Print(value) => out.push_str(&self.value(value, dot)?.text()),
                Node::Set(name, value) => {
                    let value = self.value(value, dot)?;
                    self.set(name, value);
                }
                Node::Range(names, over, body, otherwise) => self.range((names, over, body, otherwise), dot, out)?,
                Node::With(name, value, body, otherwise) => {
                    let value = self.value(value, dot)?;
                    if !value.is_true() {
                        self.render(otherwise, dot, out)?;
                        continue;
                    }
                    let known = self.variables.borrow().len();
                    let inner = value.json();
                    if let Some(name) = name {
                        self.set(name, value);
                    }
                    let rendered = self.render(body, Some(&inner), out);
                    self.variables.borrow_mut().truncate(known);
                    rendered?;
                }
                Node::If(branches, otherwise) => {
                    let mut chosen = otherwise;
                    for (condition, nodes) in branches {
                        if self.value(condition, dot)?.is_true() {
                            chosen = nodes;
                            break;
                        }
                    }
                    self.render(chosen, dot, out)?;
                }
            }
            if out.len() > MAX_BYTES {
                return Err(format!("the line is longer than {MAX_BYTES} bytes"));
            }
        }
        Ok(())
    }

    fn value(&self, value: &Value, dot: Option<&Json>) -> Result<Found, String> {
        let of_labels = |path: &[String]| match path {
            [name] => Ok(Found::Text(self.labels.get(name).to_owned())),
            _ => Err("the labels as a whole are no value".to_owned()),
        };
        Ok(match value {
            Value::Text(text) => Found::Text(text.clone()),
            Value::Number(number) => Found::Number(*number),
            Value::Dot(path) => match dot {
                None => of_labels(path)?,
                Some(dot) => member(dot, path),
            },
            Value::Variable(name, path) if name.is_empty() => of_labels(path)?,
            Value::Variable(name, path) => {
                let variables = self.variables.borrow();
                let found = variables.iter().rev().find(|(known, _)| known == name);
                let (_, found) = found.ok_or_else(|| format!("undefined variable ${name}"))?;
                if path.is_empty() { found.clone() } else { member(&found.json(), path) }
            }
            Value::Call(name, arguments) => {
                let arguments = arguments.iter().map(|value| self.value(value, dot)).collect::<Result<Vec<_>, _>>()?;
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
        for (name, value) in [
            ("app", "Web"),
            ("status", "503"),
            ("took", "1.5s"),
            ("empty", ""),
            ("list", r#"[{"a":1},{"a":"x"}]"#),
            ("object", r#"{"b":2,"c":[3,4]}"#),
            ("nothing", "[]"),
        ] {
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
            ("{{ range $i, $q := fromJson .list }}{{ if gt $i 0 }},{{ end }}{{ $q.a }}{{ end }}", "1,x"),
            ("{{ range fromJson .list }}<{{ .a }}{{ $.app }}>{{ else }}none{{ end }}", "<1Web><xWeb>"),
            ("{{ range $k, $v := fromJson .object }}{{ $k }}={{ $v }};{{ end }}", "b=2;c=[3 4];"),
            ("{{ range fromJson .nothing }}a{{ else }}none{{ end }}", "none"),
            ("{{ with .app }}{{ . }}!{{ end }}{{ with .empty }}a{{ else }}b{{ end }}", "Web!b"),
            ("{{ with $o := fromJson .object }}{{ $o.b }}{{ (index $o.c 1) }}{{ end }}", "24"),
            ("{{ $x := upper .app }}{{ $x }}{{ $x }}", "WEBWEB"),
            ("{{ (fromJson .object) | len }} {{ index (fromJson .list) 0 }}", "2 map[a:1]"),
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
            "{{ range .a }}",
            "{{ range $a, $b, $c := .a }}{{end}}",
            "{{ break }}",
            "{{ $a, $b := .a }}",
            "{{ if .a }}",
            "{{ end }}",
            "{{ ToLower }}",
            "{{ fromYaml .a }}",
            "{{ (.a }}",
            "{{ .a.b }}",
        ] {
            Template::read(wrong).expect_err(wrong);
        }
    }
}
