//! Conditions: what a rule asks of the data.

use mangru_query::PromQl;
use mangru_store::Signal;
use std::fmt;

/// What a rule asks. It holds for each label set that it gives.
#[derive(Clone, Debug)]
pub enum Condition {
    /// PromQL; with a change, its value against that of an earlier time.
    PromQl {
        /// The expression.
        expr: PromQl,
        /// What is asked of the change.
        change: Option<Change>,
    },
    /// Figures of what a search finds.
    Search(Search),
    /// Each log line or span that a search finds.
    Each {
        /// Where is searched.
        signal: Signal,
        /// The search.
        query: String,
        /// The fields whose values tell alerts apart; none: each match is an alert of its own.
        by: Vec<String>,
    },
    /// Rows that a statement gives.
    Sql {
        /// The statement.
        sql: String,
        /// What of the data it sees, in milliseconds before the evaluation.
        window_ms: i64,
        /// What the column `value` must be; none: every row holds.
        value: Option<Comparison>,
    },
    /// Two windows in both of which a share of bad requests is exceeded.
    Burn {
        /// The requests.
        query: String,
        /// Those that are bad.
        bad: String,
        /// The fields whose values tell alerts apart.
        by: Vec<String>,
        /// The long and the short window, in milliseconds.
        windows_ms: (i64, i64),
        /// The share that may not be exceeded.
        share: f64,
        /// The fewest requests within the long window for which it holds.
        min_count: u64,
    },
}

/// Figures of what a search finds within a window.
#[derive(Clone, Debug)]
pub struct Search {
    /// Logs or spans.
    pub signal: Signal,
    /// The search.
    pub query: String,
    /// The window, in milliseconds.
    pub window_ms: i64,
    /// The fields whose values tell alerts apart.
    pub by: Vec<String>,
    /// Which figure.
    pub measure: Measure,
    /// What is asked of it.
    pub test: Test,
    /// The fewest rows of which a share or a percentile says anything.
    pub min_count: u64,
}

/// A figure of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    /// How many.
    Count,
    /// How many a second.
    Rate,
    /// Which share of them are errors.
    ErrorRate,
    /// A percentile of their durations, in seconds: 50, 90, 95 or 99; 100 is the longest.
    Latency(u8),
}

/// What is asked of a figure.
#[derive(Clone, Debug)]
pub enum Test {
    /// That it compares so with a number.
    Is(Comparison),
    /// That nothing came, of what came within this time before the window, in milliseconds.
    Absent {
        /// How far back is looked for what should have come.
        seen_ms: i64,
    },
    /// That it changed so.
    Changed(Change),
}

/// A change against an earlier time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// How much earlier, in milliseconds.
    pub against_ms: i64,
    /// What the change must be: 0.5 is half as much again, -0.5 half as much.
    pub is: Comparison,
}

/// A comparison with a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// How.
    pub operator: Operator,
    /// With what.
    pub number: f64,
}

/// How numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `>`
    Above,
    /// `>=`
    AtLeast,
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
}

impl Operator {
    const ALL: [(&'static str, Self); 6] = [
        (">=", Self::AtLeast),
        ("<=", Self::AtMost),
        ("==", Self::Equal),
        ("!=", Self::NotEqual),
        (">", Self::Above),
        ("<", Self::Below),
    ];
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = Self::ALL.iter().find(|(_, operator)| operator == self).map_or("", |(sign, _)| sign);
        f.write_str(sign)
    }
}

impl Comparison {
    /// Reads `> 5`, `>= 10%`, `> 500ms`: a percentage is a share, a duration is seconds.
    ///
    /// # Errors
    /// A sentence about the text.
    pub fn read(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        let found = Operator::ALL.iter().find_map(|(sign, operator)| Some((*operator, trimmed.strip_prefix(sign)?)));
        let (operator, rest) =
            found.ok_or_else(|| format!("`{text}` is not a comparison such as `> 5`, `<= 10%` or `> 500ms`"))?;
        let number = number(rest).ok_or_else(|| format!("`{}` in `{text}` is not a number", rest.trim()))?;
        Ok(Self { operator, number })
    }

    /// Whether a value compares so.
    pub fn holds(self, value: f64) -> bool {
        match self.operator {
            Operator::Above => value > self.number,
            Operator::AtLeast => value >= self.number,
            Operator::Below => value < self.number,
            Operator::AtMost => value <= self.number,
            Operator::Equal => (value - self.number).abs() == 0.0,
            Operator::NotEqual => (value - self.number).abs() != 0.0,
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.operator, self.number)
    }
}

/// A number, a percentage, or a duration in seconds; `/s` behind a rate may stand.
pub(super) fn number(text: &str) -> Option<f64> {
    let text = text.trim();
    let text = text.strip_suffix("/s").unwrap_or(text).trim();
    let finite = |number: f64| number.is_finite().then_some(number);
    if let Some(percent) = text.strip_suffix('%') {
        return percent.trim().parse::<f64>().ok().and_then(finite).map(|number| number / 100.0);
    }
    if let Ok(number) = text.replace('_', "").parse::<f64>() {
        return finite(number);
    }
    let (sign, text) = text.strip_prefix('-').map_or((1.0, text), |text| (-1.0, text));
    mangru_query::parse_duration(text).map(|ns| sign * ns as f64 / 1e9)
}

impl Measure {
    /// What it is called on a chart.
    pub fn words(self) -> String {
        match self {
            Self::Count => "matches".to_owned(),
            Self::Rate => "matches per second".to_owned(),
            Self::ErrorRate => "share of errors".to_owned(),
            Self::Latency(100) => "longest duration, seconds".to_owned(),
            Self::Latency(percent) => format!("p{percent} of durations, seconds"),
        }
    }
}

/// What is said of the fewest rows.
fn of_at_least(min_count: u64) -> String {
    if min_count > 0 { format!(", of {min_count} at least") } else { String::new() }
}

impl Condition {
    /// The language, the text and what is asked, in one line.
    pub fn text(&self) -> String {
        let by = |by: &[String]| if by.is_empty() { String::new() } else { format!(" by {}", by.join(", ")) };
        let window = |ms: i64| crate::duration::text(ms);
        match self {
            Self::PromQl { expr, change: None } => expr.text().to_owned(),
            Self::PromQl { expr, change: Some(change) } => {
                format!("change of ({}) against {} earlier {}", expr.text(), window(change.against_ms), change.is)
            }
            Self::Search(search) => {
                let test = match &search.test {
                    Test::Is(comparison) => comparison.to_string(),
                    Test::Absent { seen_ms } => format!("absent, seen within {}", window(*seen_ms)),
                    Test::Changed(change) => {
                        format!("changed against {} earlier {}", window(change.against_ms), change.is)
                    }
                };
                let words = search.measure.words();
                let (table, by, window) = (search.signal.table(), by(&search.by), window(search.window_ms));
                format!("{table}: {} · {words} in {window}{by} {test}{}", search.query, of_at_least(search.min_count))
            }
            Self::Each { signal, query, by: fields } => {
                format!("{}: {query} · each match{}", signal.table(), by(fields))
            }
            Self::Sql { sql, window_ms, value } => {
                let value = value.map(|value| format!(" value {value}")).unwrap_or_default();
                format!("sql: {sql} · over {}{value}", window(*window_ms))
            }
            Self::Burn { query, bad, by: fields, windows_ms, share, min_count } => format!(
                "traces: {query} · share of `{bad}` > {share} in {} and {}{}{}",
                window(windows_ms.0),
                window(windows_ms.1),
                by(fields),
                of_at_least(*min_count)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons_are_read_with_their_units() {
        let read = |text: &str| Comparison::read(text).expect("a comparison");
        assert_eq!(read("> 5"), Comparison { operator: Operator::Above, number: 5.0 });
        assert_eq!(read(">=10%"), Comparison { operator: Operator::AtLeast, number: 0.1 });
        assert_eq!(read("< 250ms"), Comparison { operator: Operator::Below, number: 0.25 });
        assert_eq!(read("> 0.5/s"), Comparison { operator: Operator::Above, number: 0.5 });
        assert_eq!(read("< -50%"), Comparison { operator: Operator::Below, number: -0.5 });
        for wrong in ["5", "> many", "=> 5", "", "> inf"] {
            assert!(Comparison::read(wrong).is_err(), "{wrong}");
        }
        assert!(read("> 5").holds(5.1) && !read("> 5").holds(5.0) && !read("> 5").holds(f64::NAN));
    }
}
