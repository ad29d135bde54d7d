//! Trace and span ids, and the normal form of correlation ids.

use std::fmt;

macro_rules! id {
    ($name:ident, $bytes:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; $bytes]);

        impl $name {
            /// The id in these bytes; `None` for another length and for all zeroes, which W3C calls invalid.
            pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
                let bytes: [u8; $bytes] = bytes.try_into().ok()?;
                (bytes != [0; $bytes]).then_some(Self(bytes))
            }

            /// The id written in hex, in any case.
            pub fn from_hex(text: &str) -> Option<Self> {
                if text.len() != $bytes * 2 {
                    return None;
                }
                let mut bytes = [0; $bytes];
                for (index, pair) in text.as_bytes().chunks_exact(2).enumerate() {
                    let high = char::from(pair[0]).to_digit(16)?;
                    let low = char::from(pair[1]).to_digit(16)?;
                    bytes[index] = (high << 4 | low) as u8;
                }
                Self::from_bytes(&bytes)
            }

            /// The id written in hex, in any case; zeroes stand before one that is shorter, as of systems with shorter ids.
            pub fn from_short_hex(text: &str) -> Option<Self> {
                if text.is_empty() || text.len() > $bytes * 2 {
                    return None;
                }
                Self::from_hex(&format!("{text:0>width$}", width = $bytes * 2))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

id!(TraceId, 16, "A W3C trace id; never all zeroes when made by its constructors.");
id!(SpanId, 8, "A W3C span id; never all zeroes when made by its constructors.");

/// The normal form of a correlation id, the same when it is stored and when it is looked for: surrounding white space
/// goes; a UUID and hex of 16 or 32 digits become lower case without dashes; all else stays as it is.
pub fn normal_correlation_id(text: &str) -> String {
    let trimmed = text.trim();
    let is_uuid = trimmed.len() == 36
        && trimmed.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    let is_hex = matches!(trimmed.len(), 16 | 32) && trimmed.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_uuid || is_hex {
        trimmed.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect()
    } else {
        trimmed.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hex_of_any_case_and_never_zero() {
        let id = TraceId::from_hex("4BF92F3577B34DA6A3CE929D0E0E4736").expect("valid id");
        assert_eq!(id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(TraceId::from_bytes(&[0; 16]), None);
        assert_eq!(SpanId::from_hex("00f067aa0ba902"), None);
        assert_eq!(SpanId::from_hex("zzf067aa0ba902b7"), None);
        let short = TraceId::from_short_hex("a3ce929d0e0e4736").expect("an id of 64 bits");
        assert_eq!(short.to_string(), "0000000000000000a3ce929d0e0e4736");
        for wrong in ["", "0", "x", "가", "14bf92f3577b34da6a3ce929d0e0e4736"] {
            assert_eq!(TraceId::from_short_hex(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_uuid_is_the_same_id_with_and_without_dashes() {
        assert_eq!(normal_correlation_id(" 6F9619FF-8B86-D011-B42D-00CF4FC964FF"), "6f9619ff8b86d011b42d00cf4fc964ff");
        assert_eq!(normal_correlation_id("6f9619ff8b86d011b42d00cf4fc964ff"), "6f9619ff8b86d011b42d00cf4fc964ff");
        assert_eq!(normal_correlation_id("Order-77"), "Order-77");
    }
}
