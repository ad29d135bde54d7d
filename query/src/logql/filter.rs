//! Tests on labels: by text, by number, by address; and the numbers with units that they compare with.

use super::stage::Labels;
use crate::comparison::Comparison;
use crate::request::compound_duration_ns;
use regex::Regex;
use std::net::IpAddr;

/// A test on the text of a label.
#[derive(Clone, Debug)]
pub(crate) struct Matcher {
    /// The label.
    pub(crate) name: String,
    /// What its value must be.
    pub(crate) test: TextTest,
}

/// What a text must be.
#[derive(Clone, Debug)]
pub(crate) enum TextTest {
    Equal(String),
    NotEqual(String),
    Fits(Regex),
    FitsNot(Regex),
}

impl TextTest {
    /// Whether a text passes; a label that is not there is empty.
    pub(crate) fn passes(&self, value: &str) -> bool {
        match self {
            Self::Equal(wanted) => value == wanted,
            Self::NotEqual(other) => value != other,
            Self::Fits(regex) => regex.is_match(value),
            Self::FitsNot(regex) => !regex.is_match(value),
        }
    }
}

/// A condition on labels.
#[derive(Clone, Debug)]
pub(super) enum LabelFilter {
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Text(Matcher),
    Number { name: String, unit: Unit, comparison: Comparison, value: f64 },
    Ip { name: String, is_wanted: bool, addresses: Addresses },
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    None,
    /// Nanoseconds.
    Duration,
    Bytes,
}

impl Unit {
    pub(super) fn read(self, text: &str) -> Option<f64> {
        match self {
            Self::None => text.parse().ok(),
            Self::Duration => compound_duration_ns(text),
            Self::Bytes => bytes(text),
        }
    }
}

impl LabelFilter {
    /// Whether the labels pass. A number that cannot be read lets the line pass and leaves an error among its labels.
    pub(super) fn passes(&self, labels: &mut Labels) -> bool {
        match self {
            Self::And(left, right) => left.passes(labels) && right.passes(labels),
            Self::Or(left, right) => left.passes(labels) || right.passes(labels),
            Self::Text(matcher) => matcher.test.passes(labels.get(&matcher.name)),
            Self::Number { name, unit, comparison, value } => {
                if labels.has_error() {
                    return true;
                }
                let text = labels.get(name);
                if text.is_empty() && !labels.has(name) {
                    return false;
                }
                match unit.read(text) {
                    Some(number) => comparison.holds(number, *value),
                    None => {
                        let details = format!("cannot read {text:?} of {name} as a number");
                        labels.fail("LabelFilterErr", &details);
                        true
                    }
                }
            }
            Self::Ip { name, is_wanted, addresses } => match labels.get(name).parse() {
                Ok(address) => addresses.hold(address) == *is_wanted,
                Err(_) => !is_wanted,
            },
        }
    }
}

/// Addresses: one, those of a network, or those between two.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    first: IpAddr,
    last: IpAddr,
}

const fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits() as u128,
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl Addresses {
    /// Reads `192.168.0.1`, `192.168.0.0/16` or `192.168.0.1-192.168.0.9`.
    pub(super) fn read(text: &str) -> Option<Self> {
        if let Some((first, last)) = text.split_once('-') {
            return Some(Self { first: first.trim().parse().ok()?, last: last.trim().parse().ok()? });
        }
        let Some((address, prefix)) = text.split_once('/') else {
            let address = text.parse().ok()?;
            return Some(Self { first: address, last: address });
        };
        let (address, prefix): (IpAddr, u32) = (address.parse().ok()?, prefix.parse().ok()?);
        let bits: u32 = if address.is_ipv4() { 32 } else { 128 };
        let host_bits = bits.checked_sub(prefix)?;
        // A shift by all bits of the number is none.
        let host = if host_bits == 0 { 0 } else { u128::MAX >> (128 - host_bits) };
        let (first, last) = (number(address) & !host, number(address) | host);
        Some(match address {
            IpAddr::V4(_) => Self { first: IpAddr::V4((first as u32).into()), last: IpAddr::V4((last as u32).into()) },
            IpAddr::V6(_) => Self { first: IpAddr::V6(first.into()), last: IpAddr::V6(last.into()) },
        })
    }

    fn hold(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && (number(self.first)..=number(self.last)).contains(&number(address))
    }

    /// Whether a line holds any of them.
    pub(super) fn in_line(self, line: &str) -> bool {
        let is_part = |c: char| c.is_ascii_hexdigit() || c == '.' || c == ':';
        line.split(|c| !is_part(c)).any(|piece| {
            let piece = piece.trim_end_matches('.');
            let own = || piece.parse().is_ok_and(|address| self.hold(address));
            // An IPv4 address may have a port.
            let before_port =
                || piece.split_once(':').is_some_and(|(host, _)| host.parse().is_ok_and(|address| self.hold(address)));
            own() || before_port()
        })
    }
}

/// A number of bytes: `42MB`, `1.5Kib`, `5`.
pub(super) fn bytes(text: &str) -> Option<f64> {
    let text = text.trim();
    let unit = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ',')).unwrap_or(text.len());
    let number: f64 = text[..unit].replace(',', "").parse().ok()?;
    let factor = match text[unit..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "p" | "pb" => 1e15,
        "e" | "eb" => 1e18,
        "ki" | "kib" => 1024.0,
        "mi" | "mib" => 1_048_576.0,
        "gi" | "gib" => 1_073_741_824.0,
        "ti" | "tib" => 1_099_511_627_776.0,
        "pi" | "pib" => 1_125_899_906_842_624.0,
        _ => return None,
    };
    Some(number * factor)
}

#[cfg(test)]
#[allow(clippy::float_cmp)] // exact by construction
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units_are_read() {
        assert_eq!(bytes("42MB"), Some(42e6));
        assert_eq!(bytes("1.5 KiB"), Some(1536.0));
        assert_eq!(bytes("7"), Some(7.0));
        assert_eq!(bytes("7 apples"), None);
    }

    #[test]
    fn addresses_are_one_or_a_network_or_between_two() {
        let hold = |addresses: &str, address: &str| {
            Addresses::read(addresses).expect("addresses").hold(address.parse().expect("an address"))
        };
        assert!(hold("192.168.0.1", "192.168.0.1"));
        assert!(!hold("192.168.0.1", "192.168.0.2"));
        assert!(hold("192.168.0.0/16", "192.168.255.255"));
        assert!(!hold("192.168.0.0/16", "192.169.0.0"));
        assert!(hold("0.0.0.0/0", "255.0.0.1"));
        assert!(hold("10.0.0.1/32", "10.0.0.1"));
        assert!(hold("10.0.0.1-10.0.0.9", "10.0.0.5"));
        assert!(hold("2001:db8::/32", "2001:db8:1::1"));
        assert!(!hold("2001:db8::/32", "10.0.0.1"));
        assert!(Addresses::read("10.0.0.0/33").is_none());
        assert!(Addresses::read("10.0.0.0/8").expect("a network").in_line("from 10.1.2.3:80 to nowhere"));
        assert!(!Addresses::read("10.0.0.0/8").expect("a network").in_line("from 11.1.2.3, 10.x"));
    }
}
