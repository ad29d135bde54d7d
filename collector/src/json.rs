//! OTLP's JSON form, turned into the protobuf form, so that both are decoded by the same code and give equal rows.
//!
//! ProtoJSON with OTLP's changes (opentelemetry-proto, "JSON Protobuf Encoding"): ids in hex of any case, other bytes base64,
//! 64-bit integers as text or numbers, enums as numbers (names are accepted too), member names in lowerCamelCase (the
//! original names too), `null` means unset, unknown members are passed over, `"NaN"` and `"Infinity"` are doubles.
//!
//! The text is written as it is read: no tree of it is built, so a request takes no more room than its protobuf form.

mod messages;

use crate::export::put_varint;
use crate::otlp::DecodeError;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use mangru_store::Signal;
use messages::{Field, Kind, Message};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

/// The protobuf form of a request in JSON.
pub(crate) fn to_protobuf(signal: Signal, text: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut out = Vec::with_capacity(text.len());
    let message = match signal {
        Signal::Logs => &messages::EXPORT_LOGS,
        Signal::Spans => &messages::EXPORT_SPANS,
        Signal::MetricPoints => &messages::EXPORT_METRICS,
    };
    let path = Path::default();
    // serde_json itself stops at a depth of 128.
    let mut reader = serde_json::Deserializer::from_slice(text);
    MessageSeed { message, path: &path, out: &mut out }
        .deserialize(&mut reader)
        .and_then(|_| reader.end())
        .map_err(|error| DecodeError::Json(path.explain(&error)))?;
    Ok(out)
}

/// Where the reader stands. What failed is not taken off again.
#[derive(Default)]
struct Path(RefCell<Vec<Step>>);

enum Step {
    Member(&'static str),
    Item(usize),
}

impl Path {
    fn within<T, E>(&self, step: Step, read: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.0.borrow_mut().push(step);
        let read = read()?;
        self.0.borrow_mut().pop();
        Ok(read)
    }

    fn explain(&self, error: &serde_json::Error) -> String {
        let mut path = "request".to_owned();
        for step in self.0.borrow().iter() {
            match step {
                Step::Member(name) => path.extend([".", name]),
                Step::Item(index) => path.extend(["[", &index.to_string(), "]"]),
            }
        }
        format!("{path}: {error}")
    }
}

/// Reads an object and writes its members. Gives false for `null`, which writes nothing.
struct MessageSeed<'a> {
    message: &'static Message,
    path: &'a Path,
    out: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
        let Self { message, path, out } = self;
        while let Some(found) = members.next_key_seed(NameSeed(message))? {
            match found {
                None => {
                    members.next_value::<IgnoredAny>()?;
                }
                Some(field) => path.within(Step::Member(field.json), || {
                    members.next_value_seed(FieldSeed { field, path, out: &mut *out })
                })?,
            }
        }
        Ok(true)
    }
}

/// Reads a member's name.
struct NameSeed(&'static Message);

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.fields.iter().find(|field| field.json == name || field.proto == name))
    }
}

/// Reads a member's value, or its items.
struct FieldSeed<'a> {
    field: &'static Field,
    path: &'a Path,
    out: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.field.repeated {
            deserializer.deserialize_any(self)
        } else {
            ItemSeed { field: self.field, path: self.path, out: self.out }.deserialize(deserializer)
        }
    }
}

impl<'de> Visitor<'de> for FieldSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { field, path, out } = self;
        for index in 0.. {
            let item =
                path.within(Step::Item(index), || items.next_element_seed(ItemSeed { field, path, out: &mut *out }))?;
            if item.is_none() {
                break;
            }
        }
        Ok(())
    }
}

/// Reads one value and writes it with its tag; `null` writes nothing.
struct ItemSeed<'a> {
    field: &'static Field,
    path: &'a Path,
    out: &'a mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for ItemSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let Self { field, path, out } = self;
        if let Kind::Message(message) = field.kind {
            let mut content = Vec::new();
            if (MessageSeed { message, path, out: &mut content }).deserialize(deserializer)? {
                put_bytes(field.number, &content, out);
            }
            return Ok(());
        }
        match deserializer.deserialize_any(ScalarVisitor)? {
            Scalar::Null => Ok(()),
            scalar => put_scalar(field, &scalar, out).map_err(D::Error::custom),
        }
    }
}

/// A value that is no object and no array.
enum Scalar<'de> {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Double(f64),
    Text(Cow<'de, str>),
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a number, true or false")
    }

    fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Signed(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Unsigned(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Double(number))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }
}

fn put_bytes(number: u32, content: &[u8], out: &mut Vec<u8>) {
    put_tag(number, 2, out);
    put_varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

fn put_tag(number: u32, wire: u32, out: &mut Vec<u8>) {
    put_varint(u64::from(number << 3 | wire), out);
}

/// Writes a value that is no message; an error says what it should be.
fn put_scalar(field: &Field, scalar: &Scalar<'_>, out: &mut Vec<u8>) -> Result<(), String> {
    let number = field.number;
    let mut varint = |value: u64| {
        put_tag(number, 0, out);
        put_varint(value, out);
    };
    match field.kind {
        Kind::Text => put_bytes(number, scalar.text().ok_or("expected text")?.as_bytes(), out),
        Kind::Hex => {
            let id = scalar.text().and_then(hex).ok_or("expected an id in hex")?;
            put_bytes(number, &id, out);
        }
        Kind::Base64 => {
            let text = scalar.text().ok_or("expected base64 text")?;
            let content = STANDARD
                .decode(text)
                .or_else(|_| URL_SAFE.decode(text))
                .or_else(|_| STANDARD_NO_PAD.decode(text))
                .map_err(|error| format!("expected base64: {error}"))?;
            put_bytes(number, &content, out);
        }
        Kind::Bool => match scalar {
            Scalar::Bool(flag) => varint(u64::from(*flag)),
            _ => return Err("expected true or false".to_owned()),
        },
        Kind::Signed => varint(scalar.signed().ok_or("expected a 64-bit integer")? as u64),
        Kind::Unsigned32 => varint(u64::from(scalar.unsigned32()?)),
        Kind::Unsigned => varint(scalar.unsigned().ok_or("expected a 64-bit number")?),
        Kind::Zigzag => {
            let value = scalar.signed().and_then(|value| i32::try_from(value).ok());
            let value = value.ok_or("expected a 32-bit integer")?;
            varint(u64::from(((value << 1) ^ (value >> 31)) as u32));
        }
        Kind::Fixed32 => {
            put_tag(number, 5, out);
            out.extend_from_slice(&scalar.unsigned32()?.to_le_bytes());
        }
        Kind::Fixed64 => {
            put_tag(number, 1, out);
            out.extend_from_slice(&scalar.unsigned().ok_or("expected a 64-bit number")?.to_le_bytes());
        }
        Kind::SignedFixed64 => {
            put_tag(number, 1, out);
            out.extend_from_slice(&scalar.signed().ok_or("expected a 64-bit integer")?.to_le_bytes());
        }
        Kind::Double => {
            put_tag(number, 1, out);
            out.extend_from_slice(&scalar.double().ok_or("expected a number")?.to_bits().to_le_bytes());
        }
        Kind::Enum(names) => {
            let named = |name: &str| {
                names.iter().find(|(known, _)| *known == name).map(|(_, number)| *number).or_else(|| name.parse().ok())
            };
            let value = match scalar {
                Scalar::Text(name) => named(name),
                other => other.signed().and_then(|value| i32::try_from(value).ok()),
            };
            varint(i64::from(value.ok_or("expected a known name or number")?) as u64);
        }
        Kind::Message(_) => return Err("expected an object".to_owned()),
    }
    Ok(())
}

impl Scalar<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// An integer as a number, as text, or as a number without a fraction.
    fn signed(&self) -> Option<i64> {
        match self {
            Self::Signed(number) => Some(*number),
            Self::Unsigned(number) => i64::try_from(*number).ok(),
            Self::Double(value) => (value.fract() == 0.0 && value.abs() < 9.2e18).then_some(*value as i64),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Null | Self::Bool(_) => None,
        }
    }

    fn unsigned(&self) -> Option<u64> {
        match self {
            Self::Signed(number) => u64::try_from(*number).ok(),
            Self::Unsigned(number) => Some(*number),
            Self::Double(value) => (value.fract() == 0.0 && (0.0..1.8e19).contains(value)).then_some(*value as u64),
            Self::Text(text) => text.trim().parse().ok(),
            Self::Null | Self::Bool(_) => None,
        }
    }

    fn unsigned32(&self) -> Result<u32, &'static str> {
        self.unsigned().and_then(|value| u32::try_from(value).ok()).ok_or("expected a 32-bit number")
    }

    fn double(&self) -> Option<f64> {
        match self {
            Self::Signed(number) => Some(*number as f64),
            Self::Unsigned(number) => Some(*number as f64),
            Self::Double(number) => Some(*number),
            Self::Text(text) => match text.as_ref() {
                "NaN" => Some(f64::NAN),
                "Infinity" => Some(f64::INFINITY),
                "-Infinity" => Some(f64::NEG_INFINITY),
                other => other.parse().ok(),
            },
            Self::Null | Self::Bool(_) => None,
        }
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes().chunks_exact(2).map(|pair| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8)).collect()
}
