//! Numbers as people read them: counts, durations, bytes, shares. Shared by the pages and the islands.

/// A count with its thousands set apart: `48,211`.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number in few digits: `0.42`, `17.3`, `48.2 k`, `3.2 M`.
pub fn short(value: f64) -> String {
    let size = value.abs();
    if !size.is_finite() {
        return value.to_string();
    }
    let (scaled, unit) = match size {
        s if s >= 1e12 => return format!("{value:.2e}"),
        s if s >= 1e9 => (value / 1e9, " G"),
        s if s >= 1e6 => (value / 1e6, " M"),
        s if s >= 1e4 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let text = match scaled.abs() {
        0.0 => return "0".to_owned(),
        s if s < 0.001 => return format!("{scaled:.1e}"),
        s if s < 0.1 => format!("{scaled:.4}"),
        s if s < 10.0 => format!("{scaled:.2}"),
        s if s < 1000.0 => format!("{scaled:.1}"),
        _ => return count_signed(scaled.round() as i64) + unit,
    };
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{unit}")
}

fn count_signed(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}", count(value.unsigned_abs()))
}

/// A duration in its fitting unit: `812 ns`, `4.21 ms`, `1.34 s`, `2 m 05 s`.
pub fn duration(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let ns = nanoseconds.unsigned_abs();
    let text = match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => scaled(ns, 1e3, "µs"),
        1_000_000..1_000_000_000 => scaled(ns, 1e6, "ms"),
        1_000_000_000..60_000_000_000 => scaled(ns, 1e9, "s"),
        60_000_000_000..3_600_000_000_000 => {
            let seconds = ns / 1_000_000_000;
            format!("{} m {:02} s", seconds / 60, seconds % 60)
        }
        3_600_000_000_000..86_400_000_000_000 => {
            let minutes = ns / 60_000_000_000;
            format!("{} h {:02} m", minutes / 60, minutes % 60)
        }
        _ => {
            let hours = ns / 3_600_000_000_000;
            format!("{} d {:02} h", hours / 24, hours % 24)
        }
    };
    format!("{sign}{text}")
}

fn scaled(ns: u64, by: f64, unit: &str) -> String {
    let value = ns as f64 / by;
    if value < 10.0 {
        format!("{value:.2} {unit}")
    } else if value < 100.0 {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.0} {unit}")
    }
}

/// A duration when there is one, a dash otherwise.
pub fn duration_or_dash(nanoseconds: Option<i64>) -> String {
    nanoseconds.map_or_else(|| "–".to_owned(), duration)
}

/// A size in binary units: `512 B`, `1.4 MiB`.
pub fn bytes(value: u64) -> String {
    size(value as f64)
}

/// A size that may be a part of a byte, or less than nothing: `0.5 B`, `-1.4 MiB`.
pub fn size(value: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let sign = if value < 0.0 { "-" } else { "" };
    let (mut scaled, mut unit) = (value.abs(), 0);
    while scaled >= 1024.0 && unit + 1 < UNITS.len() {
        scaled /= 1024.0;
        unit += 1;
    }
    let is_whole = unit == 0 && scaled.fract() == 0.0;
    let text = if scaled < 10.0 && !is_whole { format!("{scaled:.1}") } else { format!("{scaled:.0}") };
    format!("{sign}{text} {}", UNITS[unit])
}

/// A share of one as percent: `0 %`, `0.04 %`, `12.5 %`, `100 %`.
pub fn percent(ratio: f64) -> String {
    let sign = if ratio < 0.0 { "-" } else { "" };
    let value = ratio.abs() * 100.0;
    if value == 0.0 {
        "0 %".to_owned()
    } else if value < 0.01 {
        if ratio < 0.0 { "> -0.01 %".to_owned() } else { "< 0.01 %".to_owned() }
    } else if value < 1.0 {
        format!("{sign}{value:.2} %")
    } else if value < 99.95 {
        format!("{sign}{value:.1} %")
    } else {
        format!("{sign}{value:.0} %")
    }
}

/// How a figure moved against the window before: `+12 %`, `−40 %`, `new`; empty when there is nothing to compare.
pub fn change(now: f64, before: f64) -> String {
    if before <= 0.0 {
        return if now > 0.0 { "new".to_owned() } else { String::new() };
    }
    let moved = (now - before) / before * 100.0;
    match moved {
        m if m.abs() < 0.5 => "±0 %".to_owned(),
        m if m >= 1000.0 => format!("×{:.0}", now / before),
        m if m > 0.0 => format!("+{m:.0} %"),
        m => format!("−{:.0} %", m.abs()),
    }
}

/// The first characters of a text, with an ellipsis where something was cut.
pub fn clipped(text: &str, max_chars: usize) -> String {
    match text.char_indices().nth(max_chars) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_thousands() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(48_211), "48,211");
        assert_eq!(count(1_000_000), "1,000,000");
    }

    #[test]
    fn durations_take_the_unit_that_fits() {
        assert_eq!(duration(0), "0 ns");
        assert_eq!(duration(1_500), "1.50 µs");
        assert_eq!(duration(41_260_000), "41.3 ms");
        assert_eq!(duration(125_000_000_000), "2 m 05 s");
        assert_eq!(duration(-2_000_000), "-2.00 ms");
        assert_eq!(duration(i64::MAX), "106751 d 23 h");
    }

    #[test]
    fn shares_never_round_something_to_nothing() {
        assert_eq!(percent(0.0), "0 %");
        assert_eq!(percent(0.000_001), "< 0.01 %");
        assert_eq!(percent(0.125), "12.5 %");
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent(-0.125), "-12.5 %");
        assert_eq!(percent(-0.000_001), "> -0.01 %");
    }

    #[test]
    fn changes_are_told_against_the_window_before() {
        assert_eq!(change(112.0, 100.0), "+12 %");
        assert_eq!(change(60.0, 100.0), "−40 %");
        assert_eq!(change(5.0, 0.0), "new");
        assert_eq!(change(0.0, 0.0), "");
    }

    #[test]
    fn short_numbers_and_bytes_stay_short() {
        assert_eq!(short(0.0), "0");
        assert_eq!(short(3_200_000.0), "3.2 M");
        assert_eq!(short(9_999.0), "9,999");
        assert_eq!(short(0.5), "0.5");
        assert_eq!(short(0.0012), "0.0012");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1_468_006), "1.4 MiB");
        assert_eq!(size(-0.5), "-0.5 B");
    }
}
