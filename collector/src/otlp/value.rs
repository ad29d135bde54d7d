//! `AnyValue` and `KeyValue`.

use crate::wire::{Fields, WireError};
use mangru_store::value::{AnyValue, Kind, MAX_DEPTH};
use std::fmt::Write as _;

/// A `KeyValue` looked at without building anything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute<'a> {
    pub(crate) key: &'a str,
    /// The `AnyValue` message.
    pub(crate) value: &'a [u8],
    /// The value when it is text.
    pub(crate) string: Option<&'a str>,
    /// The value when it is an integer.
    pub(crate) int: Option<i64>,
}

/// Looks at a `KeyValue`.
#[inline]
pub(crate) fn attribute(message: &[u8]) -> Result<Attribute<'_>, WireError> {
    let mut found = Attribute { key: "", value: &[], string: None, int: None };
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => found.key = value.text()?,
            2 => {
                found.value = value.message()?;
                (found.string, found.int) = (None, None);
                let mut fields = Fields::new(found.value);
                while let Some((number, value)) = fields.next()? {
                    match number {
                        1 => (found.string, found.int) = (Some(value.text()?), None),
                        3 => (found.string, found.int) = (None, Some(value.varint()? as i64)),
                        2 | 4..=7 => (found.string, found.int) = (None, None),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Builds a `KeyValue`.
pub(crate) fn key_value(message: &[u8]) -> Result<(String, AnyValue), WireError> {
    nested_key_value(message, 0)
}

fn nested_key_value(message: &[u8], depth: usize) -> Result<(String, AnyValue), WireError> {
    let mut key = String::new();
    let mut any = AnyValue::Empty;
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => value.text()?.clone_into(&mut key),
            2 => any = nested(value.message()?, depth)?,
            _ => {}
        }
    }
    Ok((key, any))
}

/// Builds an `AnyValue`.
pub(crate) fn any_value(message: &[u8]) -> Result<AnyValue, WireError> {
    nested(message, 0)
}

fn nested(message: &[u8], depth: usize) -> Result<AnyValue, WireError> {
    if depth > MAX_DEPTH {
        return Err(WireError("a value nests deeper than 40"));
    }
    let mut any = AnyValue::Empty;
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        any = match number {
            1 => AnyValue::String(value.text()?.to_owned()),
            2 => AnyValue::Bool(value.varint()? != 0),
            3 => AnyValue::Int(value.varint()? as i64),
            4 => AnyValue::Double(value.double()?),
            5 => {
                let mut items = Vec::new();
                let mut fields = Fields::new(value.message()?);
                while let Some((number, value)) = fields.next()? {
                    if number == 1 {
                        items.push(nested(value.message()?, depth + 1)?);
                    }
                }
                AnyValue::Array(items)
            }
            6 => {
                let mut entries = Vec::new();
                let mut fields = Fields::new(value.message()?);
                while let Some((number, value)) = fields.next()? {
                    if number == 1 {
                        entries.push(nested_key_value(value.message()?, depth + 1)?);
                    }
                }
                AnyValue::KeyValues(entries)
            }
            7 => AnyValue::Bytes(value.message()?.to_vec()),
            _ => any,
        };
    }
    Ok(any)
}

/// Writes the text form of an `AnyValue` and gives its type; numbers and truth values are written without building.
pub(crate) fn write_text(message: &[u8], out: &mut String) -> Result<Kind, WireError> {
    let mut fields = Fields::new(message);
    if let Some((number @ (2 | 3), value)) = fields.next()?
        && fields.next()?.is_none()
    {
        if number == 3 {
            // Writing to a string cannot fail.
            let _ = write!(out, "{}", value.varint()? as i64);
            return Ok(Kind::Int);
        }
        out.push_str(if value.varint()? != 0 { "true" } else { "false" });
        return Ok(Kind::Bool);
    }
    let any = any_value(message)?;
    any.write_text(out);
    Ok(any.kind())
}
