//! The functions of templates.

use super::MAX_BYTES;
use serde_json::Value as Json;
use std::fmt::Write as _;

/// What a value is when it was evaluated.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Found {
    Text(String),
    Number(f64),
    Flag(bool),
    /// An object or a list.
    Json(Json),
}

/// A value of JSON as Go prints it.
fn shown(value: &Json) -> String {
    match value {
        Json::Null => "<nil>".to_owned(),
        Json::String(text) => text.clone(),
        Json::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(" ")),
        Json::Object(members) => {
            // Go puts the members in the order of their names.
            let sorted: std::collections::BTreeMap<&String, &Json> = members.iter().collect();
            let members = sorted.into_iter().map(|(name, value)| format!("{name}:{}", shown(value)));
            format!("map[{}]", members.collect::<Vec<_>>().join(" "))
        }
        Json::Number(number) => number.as_f64().unwrap_or_default().to_string(),
        Json::Bool(flag) => flag.to_string(),
    }
}

impl Found {
    /// A value of JSON; what is null is an empty text.
    pub(super) fn of_json(value: &Json) -> Self {
        match value {
            Json::Null => Self::Text(String::new()),
            Json::Bool(flag) => Self::Flag(*flag),
            Json::Number(number) => Self::Number(number.as_f64().unwrap_or_default()),
            Json::String(text) => Self::Text(text.clone()),
            other => Self::Json(other.clone()),
        }
    }

    /// The same in JSON.
    pub(super) fn json(&self) -> Json {
        match self {
            Self::Text(text) if text.is_empty() => Json::Null,
            Self::Text(text) => text.as_str().into(),
            Self::Number(number) => (*number).into(),
            Self::Flag(flag) => (*flag).into(),
            Self::Json(value) => value.clone(),
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::Json(value) => shown(value),
        }
    }

    fn number(&self) -> f64 {
        match self {
            Self::Text(text) => text.trim().parse().unwrap_or_default(),
            Self::Number(number) => *number,
            Self::Flag(flag) => f64::from(u8::from(*flag)),
            Self::Json(_) => 0.0,
        }
    }

    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Number(number) => *number != 0.0,
            Self::Flag(flag) => *flag,
            Self::Json(value) => value
                .as_object()
                .map_or_else(|| value.as_array().is_some_and(|all| !all.is_empty()), |all| !all.is_empty()),
        }
    }
}

/// Functions with the fewest and the most arguments they take.
pub(super) const FUNCTIONS: &[(&str, usize, usize)] = &[
    ("__line__", 0, 0),
    ("__timestamp__", 0, 0),
    ("ToLower", 1, 1),
    ("lower", 1, 1),
    ("ToUpper", 1, 1),
    ("upper", 1, 1),
    ("Title", 1, 1),
    ("title", 1, 1),
    ("Replace", 4, 4),
    ("replace", 3, 3),
    ("Trim", 2, 2),
    ("TrimLeft", 2, 2),
    ("TrimRight", 2, 2),
    ("TrimPrefix", 2, 2),
    ("TrimSuffix", 2, 2),
    ("TrimSpace", 1, 1),
    ("trim", 1, 1),
    ("trimAll", 2, 2),
    ("trimPrefix", 2, 2),
    ("trimSuffix", 2, 2),
    ("trunc", 2, 2),
    ("substr", 3, 3),
    ("repeat", 2, 2),
    ("indent", 2, 2),
    ("nindent", 2, 2),
    ("contains", 2, 2),
    ("hasPrefix", 2, 2),
    ("hasSuffix", 2, 2),
    ("regexReplaceAll", 3, 3),
    ("regexReplaceAllLiteral", 3, 3),
    ("count", 2, 2),
    ("default", 2, 2),
    ("alignLeft", 2, 2),
    ("alignRight", 2, 2),
    ("int", 1, 1),
    ("float64", 1, 1),
    ("add", 1, 16),
    ("addf", 1, 16),
    ("sub", 2, 2),
    ("subf", 2, 2),
    ("mul", 1, 16),
    ("mulf", 1, 16),
    ("div", 2, 2),
    ("divf", 2, 2),
    ("mod", 2, 2),
    ("max", 1, 16),
    ("maxf", 1, 16),
    ("min", 1, 16),
    ("minf", 1, 16),
    ("ceil", 1, 1),
    ("floor", 1, 1),
    ("round", 2, 2),
    ("eq", 2, 16),
    ("ne", 2, 2),
    ("lt", 2, 2),
    ("le", 2, 2),
    ("gt", 2, 2),
    ("ge", 2, 2),
    ("and", 1, 16),
    ("or", 1, 16),
    ("not", 1, 1),
    ("len", 1, 1),
    ("fromJson", 1, 1),
    ("index", 2, 16),
    ("print", 0, 16),
    ("printf", 1, 16),
    ("urlencode", 1, 1),
    ("urldecode", 1, 1),
    ("b64enc", 1, 1),
    ("b64dec", 1, 1),
    ("bytes", 1, 1),
    ("duration", 1, 1),
    ("duration_seconds", 1, 1),
    ("unixEpochNanos", 1, 1),
];

/// Functions of numbers and truth; `None` for others.
pub(super) fn on_numbers(name: &str, arguments: &[Found]) -> Option<Result<Found, String>> {
    let number = |place: usize| arguments.get(place).map_or(0.0, Found::number);
    let all = || arguments.iter().map(Found::number);
    let whole = |place: usize| number(place) as i64;
    let compared = || match (arguments.first(), arguments.get(1)) {
        (Some(Found::Text(left)), Some(Found::Text(right))) => Some(left.cmp(right)),
        _ => number(0).partial_cmp(&number(1)),
    };
    let first = || arguments.first().cloned().unwrap_or(Found::Text(String::new()));
    let last = || arguments.last().cloned().unwrap_or(Found::Text(String::new()));
    let by_zero = || Err("division by zero".to_owned());
    Some(Ok(match name {
        "int" => Found::Number(number(0).trunc()),
        "float64" => Found::Number(number(0)),
        "add" => Found::Number(all().map(|number| number as i64).fold(0_i64, i64::wrapping_add) as f64),
        "addf" => Found::Number(all().sum()),
        "sub" => Found::Number(whole(0).wrapping_sub(whole(1)) as f64),
        "subf" => Found::Number(number(0) - number(1)),
        "mul" => Found::Number(all().map(|number| number as i64).fold(1_i64, i64::wrapping_mul) as f64),
        "mulf" => Found::Number(all().product()),
        "div" | "mod" if whole(1) == 0 => return Some(by_zero()),
        "div" => Found::Number(whole(0).wrapping_div(whole(1)) as f64),
        "mod" => Found::Number(whole(0).wrapping_rem(whole(1)) as f64),
        "divf" => Found::Number(number(0) / number(1)),
        "max" | "maxf" => Found::Number(all().fold(f64::NEG_INFINITY, f64::max)),
        "min" | "minf" => Found::Number(all().fold(f64::INFINITY, f64::min)),
        "ceil" => Found::Number(number(0).ceil()),
        "floor" => Found::Number(number(0).floor()),
        "round" => {
            let factor = 10_f64.powi(whole(1).clamp(0, 15) as i32);
            Found::Number((number(0) * factor).round() / factor)
        }
        "eq" => Found::Flag(arguments[1..].iter().any(|other| other.text() == first().text())),
        "ne" => Found::Flag(first().text() != last().text()),
        "lt" => Found::Flag(compared().is_some_and(std::cmp::Ordering::is_lt)),
        "le" => Found::Flag(compared().is_some_and(std::cmp::Ordering::is_le)),
        "gt" => Found::Flag(compared().is_some_and(std::cmp::Ordering::is_gt)),
        "ge" => Found::Flag(compared().is_some_and(std::cmp::Ordering::is_ge)),
        "and" => arguments.iter().find(|found| !found.is_true()).cloned().unwrap_or_else(last),
        "or" => arguments.iter().find(|found| found.is_true()).cloned().unwrap_or_else(last),
        "not" => Found::Flag(!first().is_true()),
        "len" => Found::Number(match first() {
            Found::Json(Json::Array(items)) => items.len() as f64,
            Found::Json(Json::Object(members)) => members.len() as f64,
            other => other.text().len() as f64,
        }),
        "fromJson" => match serde_json::from_str(&first().text()) {
            Ok(value) => Found::of_json(&value),
            Err(error) => return Some(Err(format!("fromJson: {error}"))),
        },
        "index" => {
            let found = arguments[1..].iter().try_fold(first().json(), |value, place| match (&value, place) {
                (Json::Array(items), place) => items.get(place.number() as usize).cloned(),
                (Json::Object(members), place) => members.get(&place.text()).cloned(),
                _ => None,
            });
            Found::of_json(&found.unwrap_or(Json::Null))
        }
        _ => return None,
    }))
}

/// Functions of texts.
pub(super) fn on_texts(name: &str, arguments: &[Found]) -> Result<Found, String> {
    let text = |place: usize| arguments.get(place).map(Found::text).unwrap_or_default();
    let size = |place: usize| arguments.get(place).map_or(0, |found| found.number().clamp(0.0, 65_536.0) as usize);
    let of = |set: &str| set.chars().collect::<Vec<char>>();
    let cut =
        |text: &str, from: usize, to: usize| text.chars().skip(from).take(to.saturating_sub(from)).collect::<String>();
    Ok(Found::Text(match name {
        "ToLower" | "lower" => text(0).to_lowercase(),
        "ToUpper" | "upper" => text(0).to_uppercase(),
        "Title" | "title" => titled(&text(0)),
        "Replace" => {
            let (from, to) = (text(1), text(2));
            match arguments[3].number() {
                count if count < 0.0 => text(0).replace(&from, &to),
                count => text(0).replacen(&from, &to, count as usize),
            }
        }
        "replace" => text(2).replace(&text(0), &text(1)),
        "Trim" => text(0).trim_matches(of(&text(1)).as_slice()).to_owned(),
        "trimAll" => text(1).trim_matches(of(&text(0)).as_slice()).to_owned(),
        "TrimLeft" => text(0).trim_start_matches(of(&text(1)).as_slice()).to_owned(),
        "TrimRight" => text(0).trim_end_matches(of(&text(1)).as_slice()).to_owned(),
        "TrimPrefix" => text(0).strip_prefix(text(1).as_str()).map_or_else(|| text(0), str::to_owned),
        "TrimSuffix" => text(0).strip_suffix(text(1).as_str()).map_or_else(|| text(0), str::to_owned),
        "trimPrefix" => text(1).strip_prefix(text(0).as_str()).map_or_else(|| text(1), str::to_owned),
        "trimSuffix" => text(1).strip_suffix(text(0).as_str()).map_or_else(|| text(1), str::to_owned),
        "TrimSpace" | "trim" => text(0).trim().to_owned(),
        "trunc" => {
            let length = text(1).chars().count();
            match arguments[0].number() {
                from_end if from_end < 0.0 => cut(&text(1), length.saturating_sub(-from_end as usize), length),
                _ => cut(&text(1), 0, size(0)),
            }
        }
        "substr" => {
            let end = arguments[1].number();
            cut(&text(2), size(0), if end < 0.0 { usize::MAX } else { end as usize })
        }
        "repeat" => text(1).repeat(size(0).min(MAX_BYTES / text(1).len().max(1))),
        "indent" | "nindent" => {
            let pad = " ".repeat(size(0).min(1_000));
            let indented = format!("{pad}{}", text(1).replace('\n', &format!("\n{pad}")));
            if name == "nindent" { format!("\n{indented}") } else { indented }
        }
        "contains" => return Ok(Found::Flag(text(1).contains(&text(0)))),
        "hasPrefix" => return Ok(Found::Flag(text(1).starts_with(&text(0)))),
        "hasSuffix" => return Ok(Found::Flag(text(1).ends_with(&text(0)))),
        "regexReplaceAll" => regex(&text(0))?.replace_all(&text(1), braced(&text(2)).as_str()).into_owned(),
        "regexReplaceAllLiteral" => regex(&text(0))?.replace_all(&text(1), regex::NoExpand(&text(2))).into_owned(),
        "count" => return Ok(Found::Number(regex(&text(0))?.find_iter(&text(1)).count() as f64)),
        "default" => {
            if arguments[1].is_true() {
                text(1)
            } else {
                text(0)
            }
        }
        "alignLeft" => format!("{:<width$}", cut(&text(1), 0, size(0)), width = size(0)),
        "alignRight" => {
            let length = text(1).chars().count();
            format!("{:>width$}", cut(&text(1), length.saturating_sub(size(0)), length), width = size(0))
        }
        "print" => arguments.iter().map(Found::text).collect(),
        "printf" => printed(&text(0), &arguments[1..])?,
        _ => return encoded(name, &text(0)),
    }))
}

/// Groups in Go's replacements are `$1` and `${1}`; Rust takes letters behind a number for its name.
fn braced(replacement: &str) -> String {
    let pattern = regex::Regex::new(r"\$(\d+)");
    pattern.map_or_else(|_| replacement.to_owned(), |pattern| pattern.replace_all(replacement, "$${$1}").into_owned())
}

fn encoded(name: &str, text: &str) -> Result<Found, String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    Ok(match name {
        "b64enc" => Found::Text(STANDARD.encode(text)),
        "b64dec" => {
            let bytes = STANDARD.decode(text).map_err(|error| error.to_string())?;
            Found::Text(String::from_utf8_lossy(&bytes).into_owned())
        }
        "urlencode" => {
            let mut out = String::new();
            for byte in text.bytes() {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
                    b' ' => out.push('+'),
                    other => {
                        // Writing to a string cannot fail.
                        let _ = write!(out, "%{other:02X}");
                    }
                }
            }
            Found::Text(out)
        }
        "urldecode" => {
            let mut out = Vec::new();
            let mut bytes = text.bytes();
            while let Some(byte) = bytes.next() {
                match byte {
                    b'+' => out.push(b' '),
                    b'%' => {
                        let hex: String = bytes.by_ref().take(2).map(char::from).collect();
                        out.push(u8::from_str_radix(&hex, 16).map_err(|_| format!("invalid URL escape \"%{hex}\""))?);
                    }
                    other => out.push(other),
                }
            }
            Found::Text(String::from_utf8_lossy(&out).into_owned())
        }
        "bytes" => Found::Number(super::super::filter::bytes(text).ok_or_else(|| format!("{text:?} is not a size"))?),
        "duration" | "duration_seconds" => {
            let duration =
                crate::request::compound_duration_ns(text).ok_or_else(|| format!("{text:?} is not a duration"))?;
            Found::Number(duration / 1e9)
        }
        other => return Err(format!("{other} is not supported here")),
    })
}

fn titled(text: &str) -> String {
    let mut is_start = true;
    text.chars()
        .flat_map(|c| {
            let upper = std::mem::replace(&mut is_start, !c.is_alphanumeric());
            if upper { c.to_uppercase().collect::<Vec<_>>() } else { vec![c] }
        })
        .collect()
}

/// `printf` with `%s`, `%v`, `%d`, `%f`, `%q` and `%%`, with width and precision.
fn printed(format: &str, arguments: &[Found]) -> Result<String, String> {
    let mut out = String::new();
    let mut arguments = arguments.iter();
    let mut rest = format;
    while let Some((before, behind)) = rest.split_once('%') {
        out.push_str(before);
        let end = behind.find(|c: char| c.is_alphabetic() || c == '%').ok_or("printf: a verb is missing")?;
        let (flags, verb) = (&behind[..end], behind[end..].chars().next().unwrap_or('%'));
        rest = &behind[end + verb.len_utf8()..];
        if verb == '%' {
            out.push('%');
            continue;
        }
        let value = arguments.next().ok_or_else(|| format!("printf: %{verb} has no argument"))?;
        let (is_left, flags) = flags.strip_prefix('-').map_or((false, flags), |flags| (true, flags));
        let (has_zeros, flags) = flags.strip_prefix('0').map_or((false, flags), |flags| (true, flags));
        let (width, precision) = flags.split_once('.').unwrap_or((flags, ""));
        let width: usize = if width.is_empty() {
            0
        } else {
            width.parse().map_err(|_| format!("printf: %{flags}{verb} is not supported"))?
        };
        let text = match verb {
            's' | 'v' if precision.is_empty() => value.text(),
            's' => value.text().chars().take(precision.parse().unwrap_or(0)).collect(),
            'd' => format!("{}", value.number() as i64),
            'f' => format!("{:.*}", precision.parse().unwrap_or(6_usize).min(100), value.number()),
            'q' => format!("{:?}", value.text()),
            other => return Err(format!("printf: %{other} is not supported")),
        };
        let pad = width.min(1_000).saturating_sub(text.chars().count());
        match (is_left, has_zeros) {
            (true, _) => out.extend([text.as_str(), " ".repeat(pad).as_str()]),
            (false, true) => out.extend(["0".repeat(pad).as_str(), text.as_str()]),
            (false, false) => out.extend([" ".repeat(pad).as_str(), text.as_str()]),
        }
    }
    out.push_str(rest);
    Ok(out)
}

pub(super) fn regex(expression: &str) -> Result<regex::Regex, String> {
    let built = regex::RegexBuilder::new(expression).size_limit(1 << 20).build();
    built.map_err(|error| format!("invalid template: {error}"))
}
