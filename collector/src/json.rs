//! OTLP's JSON form, turned into the protobuf form, so that both are decoded by the same code and give equal rows.
//!
//! ProtoJSON with OTLP's changes (opentelemetry-proto, "JSON Protobuf Encoding"): ids in hex of any case, other bytes base64,
//! 64-bit integers as text or numbers, enums as numbers (names are accepted too), member names in lowerCamelCase (the
//! original names too), `null` means unset, unknown members are passed over, `"NaN"` and `"Infinity"` are doubles.

mod messages;

use crate::export::put_varint;
use crate::otlp::DecodeError;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use mangru_store::Signal;
use messages::{Kind, Message};
use serde_json::Value as Json;

/// The protobuf form of a request in JSON.
pub(crate) fn to_protobuf(signal: Signal, text: &[u8]) -> Result<Vec<u8>, DecodeError> {
    // serde_json itself stops at a depth of 128.
    let json: Json = serde_json::from_slice(text).map_err(|error| DecodeError::Json(error.to_string()))?;
    let mut out = Vec::with_capacity(text.len());
    let message = match signal {
        Signal::Logs => &messages::EXPORT_LOGS,
        Signal::Spans => &messages::EXPORT_SPANS,
        Signal::MetricPoints => &messages::EXPORT_METRICS,
    };
    write_message(message, &json, "request", &mut out).map_err(DecodeError::Json)?;
    Ok(out)
}

fn write_message(message: &Message, json: &Json, path: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let members = json.as_object().ok_or_else(|| format!("{path} is not an object"))?;
    for (name, value) in members {
        if value.is_null() {
            continue;
        }
        let Some(field) = message.fields.iter().find(|field| field.json == name || field.proto == name) else {
            continue;
        };
        let path = format!("{path}.{name}");
        if field.repeated {
            let items = value.as_array().ok_or_else(|| format!("{path} is not an array"))?;
            for (index, item) in items.iter().enumerate() {
                if !item.is_null() {
                    write_field(field.number, field.kind, item, &format!("{path}[{index}]"), out)?;
                }
            }
        } else {
            write_field(field.number, field.kind, value, &path, out)?;
        }
    }
    Ok(())
}

fn write_field(number: u32, kind: Kind, json: &Json, path: &str, out: &mut Vec<u8>) -> Result<(), String> {
    let tag = |wire: u32, out: &mut Vec<u8>| put_varint(u64::from(number << 3 | wire), out);
    let bytes = |content: &[u8], out: &mut Vec<u8>| {
        tag(2, out);
        put_varint(content.len() as u64, out);
        out.extend_from_slice(content);
    };
    match kind {
        Kind::Text => bytes(json.as_str().ok_or_else(|| format!("{path} is not text"))?.as_bytes(), out),
        Kind::Hex => {
            let text = json.as_str().ok_or_else(|| format!("{path} is not an id in hex"))?;
            bytes(&hex(text).ok_or_else(|| format!("{path} is not an id in hex"))?, out);
        }
        Kind::Base64 => {
            let text = json.as_str().ok_or_else(|| format!("{path} is not base64 text"))?;
            let content = STANDARD
                .decode(text)
                .or_else(|_| URL_SAFE.decode(text))
                .or_else(|_| base64::engine::general_purpose::STANDARD_NO_PAD.decode(text))
                .map_err(|error| format!("{path} is not base64: {error}"))?;
            bytes(&content, out);
        }
        Kind::Bool => {
            let flag = json.as_bool().ok_or_else(|| format!("{path} is not true or false"))?;
            tag(0, out);
            out.push(u8::from(flag));
        }
        Kind::Signed => {
            tag(0, out);
            put_varint(signed(json).ok_or_else(|| format!("{path} is not a 64-bit integer"))? as u64, out);
        }
        Kind::Unsigned32 => {
            let value = unsigned(json).and_then(|value| u32::try_from(value).ok());
            tag(0, out);
            put_varint(u64::from(value.ok_or_else(|| format!("{path} is not a 32-bit number"))?), out);
        }
        Kind::Unsigned => {
            tag(0, out);
            put_varint(unsigned(json).ok_or_else(|| format!("{path} is not a 64-bit number"))?, out);
        }
        Kind::Zigzag => {
            let value = signed(json).and_then(|value| i32::try_from(value).ok());
            let value = value.ok_or_else(|| format!("{path} is not a 32-bit integer"))?;
            tag(0, out);
            put_varint(u64::from(((value << 1) ^ (value >> 31)) as u32), out);
        }
        Kind::Fixed32 => {
            let value = unsigned(json).and_then(|value| u32::try_from(value).ok());
            tag(5, out);
            out.extend_from_slice(&value.ok_or_else(|| format!("{path} is not a 32-bit number"))?.to_le_bytes());
        }
        Kind::Fixed64 => {
            tag(1, out);
            let value = unsigned(json).ok_or_else(|| format!("{path} is not a 64-bit number"))?;
            out.extend_from_slice(&value.to_le_bytes());
        }
        Kind::SignedFixed64 => {
            tag(1, out);
            let value = signed(json).ok_or_else(|| format!("{path} is not a 64-bit integer"))?;
            out.extend_from_slice(&value.to_le_bytes());
        }
        Kind::Double => {
            tag(1, out);
            let value = double(json).ok_or_else(|| format!("{path} is not a number"))?;
            out.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        Kind::Enum(names) => {
            let value = match json {
                Json::String(name) => names
                    .iter()
                    .find(|(known, _)| known == name)
                    .map(|(_, number)| *number)
                    .or_else(|| name.parse().ok()),
                other => signed(other).and_then(|value| i32::try_from(value).ok()),
            };
            tag(0, out);
            put_varint(i64::from(value.ok_or_else(|| format!("{path} is not a known name or number"))?) as u64, out);
        }
        Kind::Message(message) => {
            let mut content = Vec::new();
            write_message(message, json, path, &mut content)?;
            bytes(&content, out);
        }
    }
    Ok(())
}

/// An integer as a number, as text, or as a number without a fraction.
fn signed(json: &Json) -> Option<i64> {
    match json {
        Json::Number(number) => number.as_i64().or_else(|| {
            let value = number.as_f64()?;
            (value.fract() == 0.0 && value.abs() < 9.2e18).then_some(value as i64)
        }),
        Json::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn unsigned(json: &Json) -> Option<u64> {
    match json {
        Json::Number(number) => number.as_u64().or_else(|| {
            let value = number.as_f64()?;
            (value.fract() == 0.0 && (0.0..1.8e19).contains(&value)).then_some(value as u64)
        }),
        Json::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn double(json: &Json) -> Option<f64> {
    match json {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => match text.as_str() {
            "NaN" => Some(f64::NAN),
            "Infinity" => Some(f64::INFINITY),
            "-Infinity" => Some(f64::NEG_INFINITY),
            other => other.parse().ok(),
        },
        _ => None,
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    if !text.len().is_multiple_of(2) {
        return None;
    }
    text.as_bytes().chunks_exact(2).map(|pair| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8)).collect()
}
