//! From names and units of OpenTelemetry to those of Prometheus, as the compatibility specification says
//! (<https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>).

/// What a metric is, as far as its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Gauge,
    Counter,
    Histogram,
    Summary,
}

/// Whose names series have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Naming {
    /// Prometheus', as the compatibility specification says.
    #[default]
    Translated,
    /// OpenTelemetry's, as they are.
    Own,
}

impl Naming {
    /// By the name that is asked for: one that Prometheus could not have before it knew UTF-8, such as `http.server.duration`, is OpenTelemetry's own.
    pub(super) fn of(name: &str) -> Self {
        let is_old = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
        if name.chars().all(is_old) { Self::Translated } else { Self::Own }
    }
}

/// Units of UCUM and the words for them.
const UNITS: &[(&str, &str)] = &[
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("%", "percent"),
];

/// Units in the denominator.
const PER: &[(&str, &str)] = &[
    ("s", "second"),
    ("m", "minute"),
    ("min", "minute"),
    ("h", "hour"),
    ("d", "day"),
    ("w", "week"),
    ("mo", "month"),
    ("y", "year"),
];

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == ':'
}

/// The words of a name: what stands between characters that Prometheus does not know, and underscores.
fn words(name: &str) -> Vec<&str> {
    name.split(|c: char| !is_part(c)).filter(|word| !word.is_empty()).collect()
}

fn word_of(unit: &str, known: &[(&str, &str)]) -> String {
    let unit = unit.trim();
    if unit.contains(['{', '}']) {
        return String::new();
    }
    let word = known.iter().find(|(ucum, _)| *ucum == unit).map_or(unit, |(_, word)| *word);
    words(word).join("_")
}

/// A metric's name without the endings of its single series (`_bucket`, `_sum`, `_count`).
pub(crate) fn metric(name: &str, unit: &str, kind: Kind) -> String {
    let mut all: Vec<String> = words(name).into_iter().map(str::to_owned).collect();
    let (numerator, denominator) = unit.split_once('/').unwrap_or((unit, ""));
    let numerator = if unit == "1" { String::new() } else { word_of(numerator, UNITS) };
    let denominator = word_of(denominator, PER);
    if !numerator.is_empty() && !all.contains(&numerator) {
        all.push(numerator);
    }
    if !denominator.is_empty() && !all.contains(&denominator) {
        all.extend(["per".to_owned(), denominator]);
    }
    match kind {
        Kind::Counter => {
            all.retain(|word| word != "total");
            all.push("total".to_owned());
        }
        Kind::Gauge if unit == "1" => {
            all.retain(|word| word != "ratio");
            all.push("ratio".to_owned());
        }
        _ => {}
    }
    let name = all.join("_");
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// A label's name.
pub(super) fn label(key: &str) -> String {
    let name: String = key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("key_{name}") } else { name }
}

/// An expression for the names in OpenTelemetry that may become a name of Prometheus: each start of its words, with anything
/// between them.
pub(super) fn sources(name: &str) -> String {
    let words = words(name);
    let mut expression = String::from("^[^a-zA-Z0-9:]*");
    for (place, word) in words.iter().enumerate() {
        expression.push_str(if place == 0 { "" } else { "(?:[^a-zA-Z0-9:]+" });
        expression.push_str(&regex::escape(word));
    }
    // `total` is taken out wherever it stands, and put at the end.
    expression.push_str("(?:[^a-zA-Z0-9:]+total)?");
    expression.push_str(&")?".repeat(words.len().saturating_sub(1)));
    expression.push_str("[^a-zA-Z0-9:]*$");
    expression
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_units_are_those_of_the_specification() {
        let cases = [
            ("http.server.request.duration", "s", Kind::Histogram, "http_server_request_duration_seconds"),
            ("system.cpu.utilization", "1", Kind::Gauge, "system_cpu_utilization_ratio"),
            ("process.cpu.time", "s", Kind::Counter, "process_cpu_time_seconds_total"),
            ("requests_total", "", Kind::Counter, "requests_total"),
            ("requests", "{request}", Kind::Counter, "requests_total"),
            ("disk.io", "By/s", Kind::Gauge, "disk_io_bytes_per_second"),
            ("memory.usage_bytes", "By", Kind::Gauge, "memory_usage_bytes"),
            ("2xx.count", "1", Kind::Counter, "_2xx_count_total"),
            ("a..b__c", "", Kind::Gauge, "a_b_c"),
            ("job:rate", "", Kind::Gauge, "job:rate"),
        ];
        for (name, unit, kind, expected) in cases {
            assert_eq!(metric(name, unit, kind), expected);
            // What a name is looked for by finds it.
            let regex = regex::Regex::new(&sources(&format!("{expected}_bucket"))).expect("an expression");
            assert!(regex.is_match(name), "{name} by {regex}");
        }
        assert!(!regex::Regex::new(&sources("http_server_duration")).expect("fine").is_match("http.client.duration"));
    }

    #[test]
    fn labels_are_letters_digits_and_underscores() {
        assert_eq!(label("http.route"), "http_route");
        assert_eq!(label("2nd"), "key_2nd");
        assert_eq!(label("가"), "_");
    }
}
