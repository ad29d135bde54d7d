//! Parsers: from a line to labels.

use super::stage::Labels;
use regex::Regex;
use serde_json::Value as Json;
use std::borrow::Cow;

/// A label's name has letters, digits and underscores only.
pub(super) fn sanitized(name: &str) -> String {
    let mut out: String =
        name.trim().chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    if out.starts_with(|c: char| c.is_ascii_digit()) {
        out.insert(0, '_');
    }
    out
}

/// A value of JSON as a label's text; `None` for what makes no label.
fn text(value: &Json) -> Option<Cow<'_, str>> {
    Some(match value {
        Json::String(text) => Cow::Borrowed(text),
        Json::Number(number) => Cow::Owned(number.to_string()),
        Json::Bool(flag) => Cow::Borrowed(if *flag { "true" } else { "false" }),
        _ => return None,
    })
}

/// All members of an object, those of objects in it joined by underscores. Arrays are passed over.
pub(super) fn json(line: &str, labels: &mut Labels) {
    match serde_json::from_str::<Json>(line) {
        Ok(Json::Object(members)) => flatten("", &members, labels),
        Ok(_) => labels.fail("JSONParserErr", "expecting json object, but it is not"),
        Err(error) => labels.fail("JSONParserErr", &error.to_string()),
    }
}

fn flatten(prefix: &str, members: &serde_json::Map<String, Json>, labels: &mut Labels) {
    for (key, value) in members {
        let key = sanitized(&if prefix.is_empty() { key.clone() } else { format!("{prefix}_{key}") });
        if key.is_empty() {
            continue;
        }
        match value {
            Json::Object(inner) => flatten(&key, inner, labels),
            other => {
                if let Some(value) = text(other) {
                    labels.extract(&key, &value);
                }
            }
        }
    }
}

/// A step of a path into JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Member(String),
    Item(usize),
}

/// Reads a path such as `servers[0]["user agent"].name`.
pub(super) fn path(text: &str) -> Result<Vec<Step>, String> {
    let wrong = || format!("cannot parse expression [{text}]: a path such as servers[0].name is expected");
    let mut steps = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            if let Some(quoted) = inner.strip_prefix('"') {
                let (name, behind) = quoted.split_once("\"]").ok_or_else(wrong)?;
                steps.push(Step::Member(name.replace("\\\"", "\"")));
                rest = behind;
            } else {
                let (number, behind) = inner.split_once(']').ok_or_else(wrong)?;
                steps.push(Step::Item(number.trim().parse().map_err(|_| wrong())?));
                rest = behind;
            }
        } else {
            let inner = if steps.is_empty() { rest } else { rest.strip_prefix('.').ok_or_else(wrong)? };
            let end = inner.find(['.', '[']).unwrap_or(inner.len());
            if end == 0 {
                return Err(wrong());
            }
            steps.push(Step::Member(inner[..end].to_owned()));
            rest = &inner[end..];
        }
    }
    if steps.is_empty() { Err(wrong()) } else { Ok(steps) }
}

/// What lies at these paths; a path that leads nowhere gives an empty label.
pub(super) fn json_paths(line: &str, paths: &[(String, Vec<Step>)], labels: &mut Labels) {
    let root: Json = match serde_json::from_str(line) {
        Ok(root) => root,
        Err(error) => return labels.fail("JSONParserErr", &error.to_string()),
    };
    for (name, steps) in paths {
        let found = steps.iter().try_fold(&root, |value, step| match step {
            Step::Member(name) => value.get(name),
            Step::Item(place) => value.get(place),
        });
        let value = match found {
            None | Some(Json::Null) => Cow::Borrowed(""),
            Some(value) => text(value).unwrap_or_else(|| Cow::Owned(value.to_string())),
        };
        labels.extract(name, &value);
    }
}

/// A pair of logfmt, or where there is none.
enum Pair<'a> {
    Found(&'a str, Cow<'a, str>),
    Wrong(String),
}

/// The next pair, and what stands behind it.
fn pair(text: &str) -> Option<(Pair<'_>, &str)> {
    let rest = text.trim_start();
    if rest.is_empty() {
        return None;
    }
    let end = rest.find(|c: char| c == '=' || c.is_whitespace()).unwrap_or(rest.len());
    let (key, behind) = rest.split_at(end);
    let Some(value) = behind.strip_prefix('=') else {
        if key.contains('"') {
            return Some((Pair::Wrong(format!("unexpected '\"' in {key:?}")), behind));
        }
        return Some((Pair::Found(key, Cow::Borrowed("")), behind));
    };
    if key.is_empty() || key.contains('"') {
        let end = value.find(char::is_whitespace).unwrap_or(value.len());
        return Some((Pair::Wrong(format!("unexpected '=' behind {key:?}")), &value[end..]));
    }
    let Some(quoted) = value.strip_prefix('"') else {
        let end = value.find(char::is_whitespace).unwrap_or(value.len());
        return Some((Pair::Found(key, Cow::Borrowed(&value[..end])), &value[end..]));
    };
    let mut is_escaped = false;
    let end = quoted.find(|c: char| {
        let is_end = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_end
    });
    let Some(end) = end else { return Some((Pair::Wrong("unterminated quoted value".to_owned()), "")) };
    let value = if quoted[..end].contains('\\') {
        match serde_json::from_str::<String>(&value[..end + 2]) {
            Ok(value) => Cow::Owned(value),
            Err(_) => return Some((Pair::Wrong("invalid quoted value".to_owned()), &quoted[end + 1..])),
        }
    } else {
        Cow::Borrowed(&quoted[..end])
    };
    Some((Pair::Found(key, value), &quoted[end + 1..]))
}

/// Pairs of logfmt: all, or those of these names as other labels.
pub(super) fn logfmt(line: &str, wanted: &[(String, String)], strict: bool, keep_empty: bool, labels: &mut Labels) {
    let mut rest = line;
    while let Some((found, behind)) = pair(rest) {
        rest = behind;
        match found {
            Pair::Wrong(why) => {
                if strict {
                    return labels.fail("LogfmtParserErr", &why);
                }
            }
            Pair::Found(key, value) => {
                if wanted.is_empty() {
                    if keep_empty || !value.is_empty() {
                        labels.extract(&sanitized(key), &value);
                    }
                } else {
                    for (name, _) in wanted.iter().filter(|(_, expression)| expression == key) {
                        labels.extract(name, &value);
                    }
                }
            }
        }
    }
    for (name, _) in wanted {
        if !labels.has(name) {
            labels.extract(name, "");
        }
    }
}

/// The pairs of a text in logfmt, or what is wrong with one of them.
pub(crate) fn logfmt_pairs(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut all = Vec::new();
    let mut rest = text;
    while let Some((found, behind)) = pair(rest) {
        rest = behind;
        match found {
            Pair::Wrong(why) => return Err(why),
            Pair::Found(key, value) => all.push((key.to_owned(), value.into_owned())),
        }
    }
    Ok(all)
}

/// Undoes Promtail's `pack`: texts become labels, and `_entry` is the line.
pub(super) fn unpack(line: &str, labels: &mut Labels) -> Option<String> {
    let members = match serde_json::from_str::<Json>(line) {
        Ok(Json::Object(members)) => members,
        Ok(_) => {
            labels.fail("JSONParserErr", "expecting json object, but it is not");
            return None;
        }
        Err(error) => {
            labels.fail("JSONParserErr", &error.to_string());
            return None;
        }
    };
    let mut entry = None;
    // What was not packed is left alone.
    let is_packed = members.contains_key("_entry");
    for (key, value) in &members {
        match value.as_str() {
            Some(value) if key == "_entry" => entry = Some(value.to_owned()),
            Some(value) if is_packed => labels.extract(&sanitized(key), value),
            _ => {}
        }
    }
    entry
}

/// Takes the colours of terminals out.
pub(super) fn decolorize(line: &str) -> Cow<'_, str> {
    if !line.contains('\u{1b}') {
        return Cow::Borrowed(line);
    }
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, behind)) = rest.split_once("\u{1b}[") {
        out.push_str(before);
        let end = behind.find(|c: char| !(c.is_ascii_digit() || c == ';'));
        match end.map(|end| (behind.as_bytes()[end], end)) {
            Some((b'm' | b'K' | b'A'..=b'H' | b'J', end)) => rest = &behind[end + 1..],
            _ => {
                out.push_str("\u{1b}[");
                rest = behind;
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// What stands here; without a name it is forgotten.
    Capture(Option<String>),
}

/// A pattern such as `<ip> - <_> "<method> <path>"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Piece>);

fn pieces(text: &str) -> Vec<Piece> {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic())
            && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
    };
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some((name, behind)) = rest.strip_prefix('<').and_then(|inner| inner.split_once('>'))
            && is_name(name)
        {
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal)));
            }
            pieces.push(Piece::Capture((name != "_").then(|| name.to_owned())));
            rest = behind;
        } else {
            literal.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    if !literal.is_empty() {
        pieces.push(Piece::Text(literal));
    }
    pieces
}

/// Two captures must have something between them.
fn checked(pieces: Vec<Piece>) -> Result<Vec<Piece>, String> {
    let are_two = |pair: &[Piece]| matches!(pair, [Piece::Capture(_), Piece::Capture(_)]);
    if pieces.windows(2).any(are_two) {
        return Err("found consecutive capture: at least one character between them is needed".to_owned());
    }
    Ok(pieces)
}

impl Pattern {
    /// Reads a pattern with at least one name.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let pieces = checked(pieces(text))?;
        let names: Vec<&String> = pieces
            .iter()
            .filter_map(|piece| if let Piece::Capture(name) = piece { name.as_ref() } else { None })
            .collect();
        if names.is_empty() {
            return Err("at least one named capture is required".to_owned());
        }
        if let Some((_, name)) = names.iter().enumerate().find(|(place, name)| names[..*place].contains(name)) {
            return Err(format!("duplicate capture name ({name})"));
        }
        Ok(Self(pieces))
    }

    /// What stands between the texts of the pattern. The last capture before a text that is missing takes the rest of the line.
    pub(super) fn extract(&self, line: &str, labels: &mut Labels) {
        let mut pieces = self.0.as_slice();
        let mut rest = line;
        if let [Piece::Text(text), behind @ ..] = pieces {
            let Some(behind_text) = rest.strip_prefix(text.as_str()) else { return };
            (rest, pieces) = (behind_text, behind);
        }
        while let [Piece::Capture(name), behind @ ..] = pieces {
            let (value, next) = match behind {
                [Piece::Text(text), ..] => match rest.split_once(text.as_str()) {
                    Some((value, next)) => (value, Some(next)),
                    None => (rest, None),
                },
                _ => (rest, None),
            };
            if let Some(name) = name {
                labels.extract(name, value);
            }
            let Some(next) = next else { return };
            (rest, pieces) = (next, &behind[1..]);
        }
    }
}

/// A line filter's pattern, `<_>` for anything, as an expression for the whole line.
pub(super) fn line_pattern(text: &str) -> Result<Regex, String> {
    let pieces = checked(pieces(text))?;
    let mut expression = String::from("^");
    for piece in &pieces {
        match piece {
            Piece::Text(text) => expression.push_str(&regex::escape(text)),
            Piece::Capture(None) => expression.push_str("(?s:.*?)"),
            Piece::Capture(Some(name)) => {
                return Err(format!("named captures are not allowed in line filters: <{name}>"));
            }
        }
    }
    expression.push('$');
    Regex::new(&expression).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(extract: impl Fn(&mut Labels)) -> Vec<(String, String)> {
        let mut labels = Labels::default();
        extract(&mut labels);
        labels.finish().iter().map(|label| (label.name.to_string(), label.value.to_string())).collect()
    }

    fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn members_of_json_are_labels() {
        let line = r#"{"a":"x","b":{"c d":1.5,"e":[1]},"f":true,"g":null,"1h":"y"}"#;
        assert_eq!(
            of(|labels| json(line, labels)),
            pairs(&[("_1h", "y"), ("a", "x"), ("b_c_d", "1.5"), ("f", "true")])
        );
        assert_eq!(of(|labels| json("[1]", labels))[0], ("__error__".to_owned(), "JSONParserErr".to_owned()));
        let paths = vec![
            ("first".to_owned(), path("b.e[0]").expect("a path")),
            ("odd".to_owned(), path("b[\"c d\"]").expect("a path")),
            ("none".to_owned(), path("z").expect("a path")),
        ];
        assert_eq!(
            of(|labels| json_paths(line, &paths, labels)),
            pairs(&[("first", "1"), ("none", ""), ("odd", "1.5")])
        );
        for wrong in ["", "[", "a.", "a[x]", "a..b"] {
            path(wrong).expect_err(wrong);
        }
    }

    #[test]
    fn pairs_of_logfmt_are_labels() {
        let line = r#"level=info msg="a \"b\" c" empty= flag took=5ms =x "q" path=/a=b"#;
        let expected = [("level", "info"), ("msg", "a \"b\" c"), ("path", "/a=b"), ("took", "5ms")];
        assert_eq!(of(|labels| logfmt(line, &[], false, false, labels)), pairs(&expected));
        let named = vec![("m".to_owned(), "msg".to_owned()), ("gone".to_owned(), "gone".to_owned())];
        assert_eq!(of(|labels| logfmt(line, &named, false, false, labels)), pairs(&[("gone", ""), ("m", "a \"b\" c")]));
        let strict = of(|labels| logfmt(line, &[], true, false, labels));
        assert!(strict.contains(&("__error__".to_owned(), "LogfmtParserErr".to_owned())), "{strict:?}");
    }

    #[test]
    fn patterns_take_what_stands_between() {
        let pattern = Pattern::read(r#"<ip> - - [<_>] "<method> <path>""#).expect("a pattern");
        let found = of(|labels| pattern.extract(r#"1.2.3.4 - - [now] "GET /a b" rest"#, labels));
        assert_eq!(found, pairs(&[("ip", "1.2.3.4"), ("method", "GET"), ("path", "/a b")]));
        let found = of(|labels| pattern.extract("1.2.3.4 - - [now", labels));
        assert_eq!(found, pairs(&[("ip", "1.2.3.4")]));
        for wrong in ["<a><b>", "no capture", "<_>", "<a> <a>"] {
            Pattern::read(wrong).expect_err(wrong);
        }
        let regex = line_pattern("<_>level=debug <_> end").expect("a pattern");
        assert!(regex.is_match("a level=debug b end"));
        assert!(!regex.is_match("a level=debug b end."));
    }

    #[test]
    fn packed_lines_and_colours_are_undone() {
        let mut labels = Labels::default();
        let entry = unpack(r#"{"pod":"p1","_entry":"the line","n":1}"#, &mut labels);
        assert_eq!((entry.as_deref(), labels.get("pod")), (Some("the line"), "p1"));
        assert_eq!(decolorize("\u{1b}[31;1mred\u{1b}[0m plain"), "red plain");
    }
}
