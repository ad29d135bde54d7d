//! Walking a protobuf message field by field, nothing copied (<https://protobuf.dev/programming-guides/encoding>).

use std::fmt;

/// A message that is not protobuf, or not the one expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireError(pub(crate) &'static str);

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for WireError {}

/// A field's value as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// The fields of a message in the order they stand.
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) const fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0_u64;
        for (index, byte) in self.rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                if index == 9 && *byte > 1 {
                    return Err(WireError("a varint has more than 64 bits"));
                }
                self.rest = &self.rest[index + 1..];
                return Ok(value);
            }
        }
        Err(WireError(if self.rest.len() < 10 { "message is cut off" } else { "a varint is longer than ten bytes" }))
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(WireError("message is cut off"))?;
        self.rest = rest;
        Ok(taken)
    }

    /// The next field; `None` at the end.
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Wire<'a>)>, WireError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| (1..=0x1fff_ffff).contains(number));
        let number = number.ok_or(WireError("a field number is out of range"))?;
        let value = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.take(8)?.try_into().unwrap_or_default())),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| WireError("a length is absurd"))?;
                Wire::Bytes(self.take(length)?)
            }
            5 => Wire::Fixed32(u32::from_le_bytes(self.take(4)?.try_into().unwrap_or_default())),
            _ => return Err(WireError("a field has an unknown wire type")),
        };
        Ok(Some((number, value)))
    }
}

impl<'a> Wire<'a> {
    /// An embedded message.
    #[inline]
    pub(crate) fn message(self) -> Result<&'a [u8], WireError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            _ => Err(WireError("a message field has another wire type")),
        }
    }

    /// Text; protobuf demands UTF-8.
    #[inline]
    pub(crate) fn text(self) -> Result<&'a str, WireError> {
        match self {
            Self::Bytes(bytes) => simdutf8::basic::from_utf8(bytes).map_err(|_| WireError("text is not valid UTF-8")),
            _ => Err(WireError("a text field has another wire type")),
        }
    }

    /// A varint.
    #[inline]
    pub(crate) fn varint(self) -> Result<u64, WireError> {
        match self {
            Self::Varint(value) => Ok(value),
            _ => Err(WireError("a number field has another wire type")),
        }
    }

    /// An enum or 32-bit number.
    #[inline]
    pub(crate) fn int32(self) -> Result<i32, WireError> {
        self.varint().map(|value| value as i32)
    }

    /// A zigzag-encoded 32-bit number.
    pub(crate) fn sint32(self) -> Result<i32, WireError> {
        let raw = self.varint()? as u32;
        Ok((raw >> 1) as i32 ^ -((raw & 1) as i32))
    }

    /// Eight bytes.
    #[inline]
    pub(crate) fn fixed64(self) -> Result<u64, WireError> {
        match self {
            Self::Fixed64(value) => Ok(value),
            _ => Err(WireError("a 64-bit field has another wire type")),
        }
    }

    /// A double.
    pub(crate) fn double(self) -> Result<f64, WireError> {
        self.fixed64().map(f64::from_bits)
    }

    /// Four bytes.
    #[inline]
    pub(crate) fn fixed32(self) -> Result<u32, WireError> {
        match self {
            Self::Fixed32(value) => Ok(value),
            _ => Err(WireError("a 32-bit field has another wire type")),
        }
    }

    /// Numbers of eight bytes, packed or one by one.
    pub(crate) fn each_fixed64(self, mut each: impl FnMut(u64)) -> Result<(), WireError> {
        match self {
            Self::Fixed64(value) => each(value),
            Self::Bytes(packed) => {
                let (chunks, rest) = packed.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(WireError("packed 64-bit numbers are cut off"));
                }
                for chunk in chunks {
                    each(u64::from_le_bytes(*chunk));
                }
            }
            _ => return Err(WireError("a list of 64-bit numbers has another wire type")),
        }
        Ok(())
    }

    /// Varints, packed or one by one.
    pub(crate) fn each_varint(self, mut each: impl FnMut(u64)) -> Result<(), WireError> {
        match self {
            Self::Varint(value) => each(value),
            Self::Bytes(packed) => {
                let mut fields = Fields::new(packed);
                while !fields.rest.is_empty() {
                    each(fields.varint()?);
                }
            }
            _ => return Err(WireError("a list of numbers has another wire type")),
        }
        Ok(())
    }
}
