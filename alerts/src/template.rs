//! Templates as Go has them (`text/template`), as far as rules and notifications use them.
//!
//! Text with actions in double braces: fields, variables, pipelines, `if`, `with`, `range`, `define` and `template`, and the
//! functions of Prometheus' rules and Alertmanager's notifications. A template that asks for a `query` is carried out again
//! when the answer is there: see [`Failure::Asks`].

mod execute;
mod functions;
mod lex;
mod parse;
mod scope;
mod time;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
pub use value::Value;
pub(crate) use value::with_exponent;

/// A template that was read.
#[derive(Clone, Debug)]
pub struct Template {
    text: Arc<str>,
    parsed: Arc<parse::Parsed>,
}

/// What a template sees.
#[derive(Debug)]
pub struct Scope<'a> {
    /// What `.` is.
    pub dot: Value,
    /// What `$name` is.
    pub variables: Vec<(&'a str, Value)>,
    /// The answers of `query` that are known.
    pub answers: &'a BTreeMap<String, Value>,
    /// The address people reach the UI at.
    pub external_url: &'a str,
    /// What `now` is, in milliseconds.
    pub now_ms: i64,
    /// Whether what is put in is escaped for HTML.
    pub escapes: bool,
}

/// Why a template gave no text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It asks for a query whose answer is not among [`Scope::answers`].
    Asks(String),
    /// It cannot be carried out.
    Wrong(String),
    /// It asks for a field, a method or a template that there is not, whatever it is given.
    Missing(String),
}

/// Variables that there are in templates of rules.
const OF_RULES: [&str; 4] = ["labels", "value", "externalLabels", "externalURL"];

impl Template {
    /// Reads a template of a notification.
    ///
    /// # Errors
    /// A sentence about what cannot be read, or a function or a variable that there is not.
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::read(text, &[])
    }

    /// Reads a template of a rule, which sees `$labels` and `$value`.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn of_rule(text: &str) -> Result<Self, String> {
        Self::read(text, &OF_RULES)
    }

    fn read(text: &str, variables: &[&str]) -> Result<Self, String> {
        let parsed = parse::parse(text)?;
        let mut names = BTreeSet::new();
        for body in parsed.defined.values().chain([&parsed.body]) {
            scope::functions(body, &mut names);
        }
        if let Some(unknown) = names.iter().find(|name| !functions::NAMES.contains(&name.as_str())) {
            return Err(format!("function {unknown:?} not defined"));
        }
        if let Some(unknown) = scope::undeclared(&parsed, variables) {
            return Err(format!("undefined variable \"${unknown}\""));
        }
        Ok(Self { text: text.into(), parsed: Arc::new(parsed) })
    }

    /// The template as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is text alone.
    pub fn is_plain(&self) -> bool {
        !self.text.contains("{{")
    }

    /// Carries it out; `others` are files whose definitions it may call.
    ///
    /// # Errors
    /// [`Failure::Asks`] when an answer is missing.
    pub fn run(&self, others: &[&Self], scope: &Scope<'_>) -> Result<String, Failure> {
        if self.is_plain() {
            return Ok(self.text.to_string());
        }
        let others: Vec<&parse::Parsed> = others.iter().map(|other| &*other.parsed).collect();
        execute::execute(&self.parsed, &others, scope)
    }
}

/// Samples as `query` gives them to a template.
pub fn samples(all: &[(BTreeMap<String, String>, f64)]) -> Value {
    all.iter().map(|(labels, value)| functions::sample(labels, *value)).collect::<Vec<_>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Result<String, Failure> {
        let labels = Value::texts([("instance".to_owned(), "a:9090".to_owned()), ("job".to_owned(), "web".to_owned())]);
        let samples = samples(&[
            (BTreeMap::from([("instance".to_owned(), "b".to_owned())]), 2.5),
            (BTreeMap::from([("instance".to_owned(), "a".to_owned())]), 1.5),
        ]);
        let answers = BTreeMap::from([("up".to_owned(), samples), ("none".to_owned(), Vec::new().into())]);
        let scope = Scope {
            dot: Value::record([("Labels", labels.clone()), ("Value", Value::Float(1234.5))]),
            variables: vec![("labels", labels), ("value", Value::Float(1234.5))],
            answers: &answers,
            external_url: "http://mangru.example/ui",
            now_ms: 60_000,
            escapes: false,
        };
        Template::of_rule(text).map_err(Failure::Wrong)?.run(&[], &scope)
    }

    #[test]
    fn what_rules_write_is_carried_out() {
        for (template, text) in [
            ("plain", "plain"),
            ("{{ $labels.instance }} of {{ $labels.job }}: {{ $value }}", "a:9090 of web: 1234.5"),
            ("{{ .Labels.nothing }}|{{ .Value | humanize }}", "|1.234k"),
            ("{{ $value | printf \"%.1f\" }}s", "1234.5s"),
            ("{{ printf \"%s has %.0f\" $labels.job $value }}", "web has 1234"),
            ("{{ if gt $value 1000.0 }}high{{ else if gt $value 10.0 }}mid{{ else }}low{{ end }}", "high"),
            ("{{ if and (gt $value 1.0) (eq $labels.job \"web\") }}yes{{ end }}", "yes"),
            ("{{ with query \"up\" }}{{ . | first | value | humanize }}{{ end }}", "2.5"),
            ("{{ with query \"none\" }}some{{ else }}none{{ end }}", "none"),
            (
                "{{ range query \"up\" | sortByLabel \"instance\" }}{{ .Labels.instance }}={{ .Value }} {{ end }}",
                "a=1.5 b=2.5 ",
            ),
            ("{{ range $i, $s := query \"up\" }}{{ $i }}:{{ label \"instance\" $s }};{{ end }}", "0:b;1:a;"),
            (
                "{{ 0.123 | humanizePercentage }} {{ 3661.0 | humanizeDuration }} {{ humanize1024 2048.0 }}",
                "12.3% 1h 1m 1s 2ki",
            ),
            ("a {{- /* no blank */ -}} b", "ab"),
            ("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}", "2"),
            ("{{ define \"d\" }}<{{ . }}>{{ end }}{{ template \"d\" $labels.job }}", "<web>"),
            ("{{ reReplaceAll \"(.*):(.*)\" \"$1\" $labels.instance }} {{ $labels.instance | stripPort }}", "a a"),
            (
                "{{ `raw` | toUpper | title }} {{ match \"a.*\" \"abc\" }} {{ externalURL }}",
                "RAW true http://mangru.example/ui",
            ),
            ("{{ len (query \"up\") }}{{ index $labels \"job\" }}", "2web"),
            ("{{ range $k, $v := $labels }}{{ $k }}={{ $v }},{{ end }}", "instance=a:9090,job=web,"),
            ("{{ define \"two\" }}{{ .arg0 }}-{{ .arg1 }}{{ end }}{{ template \"two\" (args 1 \"b\") }}", "1-b"),
            ("{{ 1.5e-7 }} {{ 1e+2 }} {{ 'a' }} {{ '\\'' }} {{ 1_000 }}", "1.5e-07 100 97 39 1000"),
            ("{{ print 1 2 }}|{{ print 1 \"a\" 2 }}|{{ print \"a\" \"b\" }}", "1 2|1a2|ab"),
            ("{{ \"o'neill of x_y\" | title }}", "O'Neill Of X_y"),
            ("{{ stripPort \"::1\" }} {{ stripPort \"[::1]:80\" }} {{ stripPort \"[::1]\" }}", "::1 ::1 [::1]"),
            ("{{ stripDomain \"a.b.c:80\" }} {{ stripDomain \"::1\" }} {{ stripDomain \"a.b\" }}", "a:80 ::1 a"),
            ("{{ (toTime 0.0).Format \"15:04\" }} {{ (toTime 0.0).Year }} {{ toDuration 90.5 }}", "00:00 1970 1m30.5s"),
            ("{{ reReplaceAll \"[\\\\w-]{1,253}\" \"x\" \"a-b\" }}", "x"),
        ] {
            assert_eq!(run(template).as_deref(), Ok(text), "{template}");
        }
    }

    #[test]
    fn what_cannot_be_carried_out_says_why() {
        assert_eq!(run("{{ query \"down\" }}"), Err(Failure::Asks("down".to_owned())));
        for (template, why) in [
            ("{{ if }}x{{ end }}", "a value is missing"),
            ("{{ if true }}x", "`end` is missing"),
            ("{{ nothing 1 }}", "function \"nothing\" not defined"),
            ("{{ $unknown }}", "undefined variable \"$unknown\""),
            ("{{ if false }}{{ $unknown }}{{ end }}", "undefined variable \"$unknown\""),
            ("{{ if true }}{{ $x := 1 }}{{ end }}{{ $x }}", "undefined variable \"$x\""),
            ("{{ $x = 1 }}", "undefined variable \"$x\""),
            ("{{ define \"d\" }}{{ $value }}{{ end }}", "undefined variable \"$value\""),
            ("{{ .Wrong }}", "can't evaluate field Wrong"),
            ("{{ $value ", "`}}` is missing"),
            ("{{ query \"none\" | first }}", "first() called on vector with no elements"),
        ] {
            match run(template) {
                Err(Failure::Wrong(message) | Failure::Missing(message)) => {
                    assert!(message.contains(why), "{template}: {message}");
                }
                other => panic!("{template}: {other:?}"),
            }
        }
    }

    #[test]
    fn no_template_takes_more_than_its_share_of_the_stack_and_of_memory() {
        let nested = |times: usize| format!("{{{{ {}1{} }}}}", "(".repeat(times), ")".repeat(times));
        let chain = |times: usize| format!("{{{{ if 0 }}}}{}{{{{ end }}}}", "{{ else if 0 }}".repeat(times));
        assert_eq!(run(&nested(40)).as_deref(), Ok("1"));
        assert_eq!(run(&chain(40)).as_deref(), Ok(""));
        let doubled =
            |times: usize| format!("{{{{ $x := \"aaaa\" }}}}{}", "{{ $x = printf \"%s%s\" $x $x }}".repeat(times));
        assert_eq!(run(&format!("{}{{{{ len $x }}}}", doubled(10))).as_deref(), Ok("4096"));
        let calls = "{{ define \"d\" }}".to_owned()
            + &"{{ if 1 }}".repeat(50)
            + "{{ template \"d\" . }}"
            + &"{{ end }}".repeat(50)
            + "{{ end }}{{ template \"d\" . }}";
        for (template, why) in [
            (nested(10_000), "parentheses nest deeper than"),
            (chain(20_000), "actions nest deeper than"),
            ("{{ if 1 }}".repeat(10_000), "actions nest deeper than"),
            (calls, "nests deeper than"),
            (doubled(28), "too large"),
            ("{{ $x := list 1 }}{{ range 10000 }}{{ $x = list $x }}{{ end }}".to_owned(), "nests too deep"),
            (format!("{}{{{{ join $x (list 1 2 3 4 5 6 7 8 9) }}}}", doubled(18)), "join gives more than"),
            (format!("{}{{{{ reReplaceAll \"\" $x $x }}}}", doubled(12)), "reReplaceAll gives more than"),
            (format!("{}{{{{ range 10000 }}}}{{{{ $y := toUpper $x }}}}{{{{ end }}}}", doubled(12)), "makes more than"),
        ] {
            match run(&template) {
                Err(Failure::Wrong(message)) => assert!(message.contains(why), "{why}: {message}"),
                other => panic!("{why}: {other:?}"),
            }
        }
    }
}
