//! OpenTelemetry's `AnyValue`, its typed JSON form, and its text form in attribute maps. Both are lossless.
//!
//! **Typed JSON form** (bodies, resource attributes, events): text, booleans, arrays and objects are themselves; an
//! integer is a number without fraction or exponent, a finite double a number with one of them; an empty value is
//! `null`. What JSON cannot say is an object with one reserved member: `{"$bytes":"<base64>"}`,
//! `{"$double":"NaN"}` (or `Infinity`, `-Infinity`), and `{"$kvlist":[[key,value],…]}` for a key-value list that has
//! a key twice or whose first key starts with `$`.
//!
//! **Text form** (the map `attributes`): text is itself, numbers and booleans are decimal and `true`/`false`, bytes
//! are base64, arrays and key-value lists are typed JSON. [`Kind::letter`] beside it says which.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value as Json;
use std::collections::HashSet;
use std::fmt::Write as _;

/// How deep values may nest. A level takes up to three of JSON, and JSON readers commonly stop at 128; protobuf
/// decoders stop at 100, which are 33 levels of key-value lists. A typical log has 5.
pub const MAX_DEPTH: usize = 40;

/// The bits of Prometheus' marker of a series that has ended: a NaN of its own.
pub const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// An OpenTelemetry attribute value or log body.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum AnyValue {
    /// No value was set.
    #[default]
    Empty,
    /// Text.
    String(String),
    /// A truth value.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
    /// A double, NaN and infinities included.
    Double(f64),
    /// Opaque bytes.
    Bytes(Vec<u8>),
    /// Values in order.
    Array(Vec<AnyValue>),
    /// Keys with values, in order; keys may repeat.
    KeyValues(Vec<(String, AnyValue)>),
}

/// The type of an [`AnyValue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No value.
    Empty,
    /// Text.
    String,
    /// A truth value.
    Bool,
    /// A 64-bit integer.
    Int,
    /// A double.
    Double,
    /// Bytes.
    Bytes,
    /// An array.
    Array,
    /// A key-value list.
    KeyValues,
}

impl Kind {
    /// The letter that stands for the type in `attribute_types` and `body_type`.
    pub const fn letter(self) -> char {
        match self {
            Self::Empty => 'e',
            Self::String => 's',
            Self::Bool => 'b',
            Self::Int => 'i',
            Self::Double => 'd',
            Self::Bytes => 'x',
            Self::Array => 'a',
            Self::KeyValues => 'k',
        }
    }

    /// The type that a letter stands for.
    pub const fn from_letter(letter: char) -> Option<Self> {
        Some(match letter {
            'e' => Self::Empty,
            's' => Self::String,
            'b' => Self::Bool,
            'i' => Self::Int,
            'd' => Self::Double,
            'x' => Self::Bytes,
            'a' => Self::Array,
            'k' => Self::KeyValues,
            _ => return None,
        })
    }
}

impl AnyValue {
    /// The value's type.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Empty => Kind::Empty,
            Self::String(_) => Kind::String,
            Self::Bool(_) => Kind::Bool,
            Self::Int(_) => Kind::Int,
            Self::Double(_) => Kind::Double,
            Self::Bytes(_) => Kind::Bytes,
            Self::Array(_) => Kind::Array,
            Self::KeyValues(_) => Kind::KeyValues,
        }
    }

    /// Appends the text form.
    pub fn write_text(&self, out: &mut String) {
        match self {
            Self::Empty => {}
            Self::String(text) => out.push_str(text),
            Self::Double(number) => write_double_text(*number, out),
            Self::Bytes(bytes) => BASE64.encode_string(bytes, out),
            Self::Bool(_) | Self::Int(_) | Self::Array(_) | Self::KeyValues(_) => self.write_json(out),
        }
    }

    /// The text form.
    pub fn text(&self) -> String {
        let mut out = String::new();
        self.write_text(&mut out);
        out
    }

    /// The value whose text form and type these are; `None` when they do not fit each other.
    pub fn from_text(text: &str, kind: Kind) -> Option<Self> {
        Some(match kind {
            Kind::Empty => Self::Empty,
            Kind::String => Self::String(text.to_owned()),
            Kind::Bool => Self::Bool(text.parse().ok()?),
            Kind::Int => Self::Int(text.parse().ok()?),
            Kind::Double => Self::Double(text.parse().ok()?),
            Kind::Bytes => Self::Bytes(BASE64.decode(text).ok()?),
            Kind::Array | Kind::KeyValues => Self::from_json_text(text)?,
        })
    }

    /// Appends the typed JSON form.
    pub fn write_json(&self, out: &mut String) {
        match self {
            Self::Empty => out.push_str("null"),
            Self::String(text) => write_json_string(text, out),
            Self::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Self::Int(number) => {
                let _ = write!(out, "{number}");
            }
            Self::Double(number) if number.is_finite() => write_double_text(*number, out),
            Self::Double(number) => {
                out.push_str("{\"$double\":\"");
                write_double_text(*number, out);
                out.push_str("\"}");
            }
            Self::Bytes(bytes) => {
                out.push_str("{\"$bytes\":\"");
                BASE64.encode_string(bytes, out);
                out.push_str("\"}");
            }
            Self::Array(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write_json(out);
                }
                out.push(']');
            }
            Self::KeyValues(entries) => write_object(entries, out),
        }
    }

    /// The typed JSON form.
    pub fn json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    /// Reads the typed JSON form; `None` when the text is not JSON.
    pub fn from_json_text(text: &str) -> Option<Self> {
        serde_json::from_str::<Json>(text).ok().map(|json| Self::from_json(&json))
    }

    /// Reads the typed JSON form.
    pub fn from_json(json: &Json) -> Self {
        match json {
            Json::Null => Self::Empty,
            Json::Bool(flag) => Self::Bool(*flag),
            Json::Number(number) => {
                number.as_i64().map_or_else(|| Self::Double(number.as_f64().unwrap_or(f64::NAN)), Self::Int)
            }
            Json::String(text) => Self::String(text.clone()),
            Json::Array(items) => Self::Array(items.iter().map(Self::from_json).collect()),
            Json::Object(members) => {
                if members.len() == 1
                    && let Some(special) = members.iter().next().and_then(|(key, value)| reserved(key, value))
                {
                    return special;
                }
                Self::KeyValues(members.iter().map(|(key, value)| (key.clone(), Self::from_json(value))).collect())
            }
        }
    }

    /// The value as plain JSON for people and programs that do not know the typed form: bytes become base64 text,
    /// non-finite doubles become text.
    pub fn plain_json(&self) -> Json {
        match self {
            Self::Empty => Json::Null,
            Self::String(text) => Json::String(text.clone()),
            Self::Bool(flag) => Json::Bool(*flag),
            Self::Int(number) => Json::from(*number),
            Self::Double(number) => {
                serde_json::Number::from_f64(*number).map_or_else(|| Json::String(self.text()), Json::Number)
            }
            Self::Bytes(_) => Json::String(self.text()),
            Self::Array(items) => Json::Array(items.iter().map(Self::plain_json).collect()),
            Self::KeyValues(entries) => {
                Json::Object(entries.iter().map(|(key, value)| (key.clone(), value.plain_json())).collect())
            }
        }
    }
}

fn reserved(key: &str, value: &Json) -> Option<AnyValue> {
    match (key, value) {
        ("$bytes", Json::String(text)) => BASE64.decode(text).ok().map(AnyValue::Bytes),
        ("$double", Json::String(text)) => text.parse().ok().map(AnyValue::Double),
        ("$kvlist", Json::Array(pairs)) => pairs
            .iter()
            .map(|pair| {
                let pair = pair.as_array()?;
                Some((pair.first()?.as_str()?.to_owned(), AnyValue::from_json(pair.get(1)?)))
            })
            .collect::<Option<Vec<_>>>()
            .map(AnyValue::KeyValues),
        _ => None,
    }
}

fn has_repeats(entries: &[(String, AnyValue)]) -> bool {
    if entries.len() <= 16 {
        return entries.iter().enumerate().any(|(index, (key, _))| entries[..index].iter().any(|(k, _)| k == key));
    }
    let mut seen = HashSet::with_capacity(entries.len());
    !entries.iter().all(|(key, _)| seen.insert(key.as_str()))
}

/// Appends a key-value list in the typed JSON form.
pub fn write_object(entries: &[(String, AnyValue)], out: &mut String) {
    let repeats = has_repeats(entries);
    let reserved = entries.first().is_some_and(|(key, _)| key.starts_with('$'));
    let (open, close, pair_open, between, pair_close) =
        if repeats || reserved { ("{\"$kvlist\":[", "]}", "[", ",", "]") } else { ("{", "}", "", ":", "") };
    out.push_str(open);
    for (index, (key, value)) in entries.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(pair_open);
        write_json_string(key, out);
        out.push_str(between);
        value.write_json(out);
        out.push_str(pair_close);
    }
    out.push_str(close);
}

/// Reads an object of attributes in the typed JSON form; what is not an object gives no entries.
pub fn read_object(text: &str) -> Vec<(String, AnyValue)> {
    match AnyValue::from_json_text(text) {
        Some(AnyValue::KeyValues(entries)) => entries,
        _ => Vec::new(),
    }
}

/// Appends text as a JSON string with its quotes.
pub fn write_json_string(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push('"');
    let mut clean_from = 0;
    for (index, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "\\u00",
            _ => continue,
        };
        out.push_str(&text[clean_from..index]);
        out.push_str(escape);
        if escape == "\\u00" {
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
        clean_from = index + 1;
    }
    out.push_str(&text[clean_from..]);
    out.push('"');
}

/// Appends the shortest decimal that reads back as the same double, always with a fraction or an exponent.
fn write_double_text(number: f64, out: &mut String) {
    if number.is_nan() {
        out.push_str("NaN");
    } else if number.is_infinite() {
        out.push_str(if number > 0.0 { "Infinity" } else { "-Infinity" });
    } else {
        // `{:?}` prints the shortest round-tripping form and keeps the fraction or exponent.
        let _ = write!(out, "{number:?}");
    }
}

/// Serde form of an attribute list: the typed JSON object.
pub mod object {
    use super::AnyValue;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the typed JSON object.
    pub fn serialize<S: Serializer>(entries: &[(String, AnyValue)], serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::new();
        super::write_object(entries, &mut text);
        raw(&text, serializer)
    }

    /// Reads the typed JSON object.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, AnyValue)>, D::Error> {
        let json = serde_json::Value::deserialize(deserializer)?;
        match AnyValue::from_json(&json) {
            AnyValue::KeyValues(entries) => Ok(entries),
            _ => Err(serde::de::Error::custom("attributes are not an object")),
        }
    }

    pub(super) fn raw<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
        let json: serde_json::Value = serde_json::from_str(text).map_err(serde::ser::Error::custom)?;
        serde::Serialize::serialize(&json, serializer)
    }
}

/// Serde form of one value: typed JSON.
pub mod single {
    use super::AnyValue;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes typed JSON.
    pub fn serialize<S: Serializer>(value: &AnyValue, serializer: S) -> Result<S::Ok, S::Error> {
        super::object::raw(&value.json(), serializer)
    }

    /// Reads typed JSON.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AnyValue, D::Error> {
        Ok(AnyValue::from_json(&serde_json::Value::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_value() -> impl Strategy<Value = AnyValue> {
        let leaf = prop_oneof![
            Just(AnyValue::Empty),
            ".*".prop_map(AnyValue::String),
            any::<bool>().prop_map(AnyValue::Bool),
            any::<i64>().prop_map(AnyValue::Int),
            any::<f64>().prop_filter("NaN differs from itself", |n| !n.is_nan()).prop_map(AnyValue::Double),
            proptest::collection::vec(any::<u8>(), 0..20).prop_map(AnyValue::Bytes),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(AnyValue::Array),
                proptest::collection::vec(("[$a-c]{0,2}", inner), 0..4).prop_map(AnyValue::KeyValues),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_value_comes_back_from_its_json_form(value in any_value()) {
            prop_assert_eq!(AnyValue::from_json_text(&value.json()), Some(value));
        }

        #[test]
        fn every_value_comes_back_from_its_text_form(value in any_value()) {
            prop_assert_eq!(AnyValue::from_text(&value.text(), value.kind()), Some(value));
        }
    }

    #[test]
    fn the_deepest_value_comes_back_from_an_event() {
        let twice =
            |value: AnyValue| AnyValue::KeyValues(vec![("k".to_owned(), value), ("k".to_owned(), AnyValue::Empty)]);
        let deepest = (0..MAX_DEPTH).fold(AnyValue::KeyValues(Vec::new()), |value, _| twice(value));
        let attributes = vec![("k".to_owned(), deepest.clone()), ("k".to_owned(), deepest)];
        let event = crate::nested::SpanEvent { attributes, ..Default::default() };
        let text = serde_json::to_string(&[&event]).expect("JSON");
        let back: Vec<crate::nested::SpanEvent> = serde_json::from_str(&text).expect("read back");
        assert_eq!(back, [event]);
    }

    #[test]
    fn doubles_that_json_cannot_say_come_back() {
        assert_eq!(AnyValue::Double(f64::NEG_INFINITY).json(), r#"{"$double":"-Infinity"}"#);
        assert!(matches!(AnyValue::from_json_text(r#"{"$double":"NaN"}"#), Some(AnyValue::Double(n)) if n.is_nan()));
        assert_eq!(AnyValue::Double(3.0).json(), "3.0");
        assert_eq!(AnyValue::from_json_text("3"), Some(AnyValue::Int(3)));
    }
}
