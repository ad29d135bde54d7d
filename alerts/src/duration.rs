//! Durations as Prometheus writes them: `1h30m`, `15s`, `250ms`.

use std::fmt::Write as _;

/// The units, the longest first, in milliseconds.
const UNITS: [(&str, i64); 7] = [
    ("y", 31_536_000_000),
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads a duration in milliseconds; its units go from long to short.
///
/// # Errors
/// A sentence about the text.
pub fn parse(text: &str) -> Result<i64, String> {
    let wrong = || format!("`{text}` is not a duration such as 30s, 5m or 1h30m");
    let text_in = text.trim();
    if text_in == "0" {
        return Ok(0);
    }
    let (mut all, mut rest, mut next_unit) = (0_i64, text_in, 0);
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).filter(|at| *at > 0).ok_or_else(wrong)?;
        let number: i64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit_end = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        let unit = UNITS.iter().position(|(name, _)| *name == &rest[digits..unit_end]).ok_or_else(wrong)?;
        if unit < next_unit {
            return Err(wrong());
        }
        next_unit = unit + 1;
        all = number.checked_mul(UNITS[unit].1).and_then(|part| all.checked_add(part)).ok_or_else(wrong)?;
        rest = &rest[unit_end..];
    }
    Ok(all)
}

/// Writes a duration in the units that divide it, the longest first; weeks and years stay days.
pub fn text(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    let mut rest = ms;
    for (unit, length) in UNITS.into_iter().skip(2) {
        if rest >= length {
            let _ = write!(out, "{}{unit}", rest / length); // writing to a String cannot fail
            rest %= length;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_prometheus_reads_them() {
        assert_eq!(parse("1h30m"), Ok(5_400_000));
        assert_eq!(parse("1w2d"), Ok(777_600_000));
        assert_eq!(parse("250ms"), Ok(250));
        assert_eq!(parse("0"), Ok(0));
        for wrong in ["", "5", "m", "1m1h", "5x", "1.5h", "-1m", "99999999999y"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(text(5_400_000), "1h30m");
        assert_eq!(text(777_600_000), "9d");
    }
}
