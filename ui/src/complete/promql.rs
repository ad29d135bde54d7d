//! Completion in PromQL: metrics and functions, labels within braces, values within quotes.

use super::{matching, units};
use crate::completion::{Completion, Completions};
use crate::format;
use crate::nouns::counted;
use crate::text::{Language, tr};
use mangru_query::QueryService;
use mangru_store::TimeRange;

/// What stands at the caret.
#[derive(Debug, PartialEq, Eq)]
enum Place<'a> {
    /// The beginning of a metric or a function.
    Name(&'a str),
    /// The beginning of a label within the braces of a metric.
    Label { metric: &'a str, typed: &'a str },
    /// The beginning of a label's value within quotes.
    Value { metric: &'a str, label: &'a str, typed: &'a str },
    /// The beginning of a label after `by (` and the like.
    Grouping(&'a str),
    /// A number, a duration, a string.
    Elsewhere,
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.')
}

/// The name that a text ends with.
fn last_name(text: &str) -> &str {
    let start = text.char_indices().rev().take_while(|(_, c)| is_name(*c)).last().map_or(text.len(), |(at, _)| at);
    &text[start..]
}

fn place(text: &str) -> Place<'_> {
    let mut brace = None;
    let mut bracket = false;
    let mut quote: Option<(char, usize)> = None;
    let mut is_escaped = false;
    let mut parens: Vec<usize> = Vec::new();
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(_), _) if is_escaped => is_escaped = false,
            (Some(('"' | '\'', _)), '\\') => is_escaped = true,
            (Some((open, _)), c) if c == open => quote = None,
            (None, '"' | '\'' | '`') => quote = Some((c, at)),
            (None, '{') => brace = Some(at),
            (None, '}') => brace = None,
            (None, '[') => bracket = true,
            (None, ']') => bracket = false,
            (None, '(') => parens.push(at),
            (None, ')') => drop(parens.pop()),
            _ => {}
        }
    }
    match (brace, quote) {
        (Some(open), Some((_, at))) => {
            let before = text[open + 1..at].trim_end().trim_end_matches(['=', '~', '!']).trim_end();
            Place::Value { metric: last_name(&text[..open]), label: last_name(before), typed: &text[at + 1..] }
        }
        (Some(open), None) => Place::Label { metric: last_name(&text[..open]), typed: last_name(text) },
        (None, Some(_)) => Place::Elsewhere,
        (None, None) if bracket => Place::Elsewhere,
        (None, None) => {
            let typed = last_name(text);
            let is_grouping = parens.last().is_some_and(|open| {
                matches!(
                    last_name(text[..*open].trim_end()),
                    "by" | "without" | "on" | "ignoring" | "group_left" | "group_right"
                )
            });
            if is_grouping {
                Place::Grouping(typed)
            } else if typed.starts_with(|c: char| c.is_ascii_digit()) {
                Place::Elsewhere
            } else {
                Place::Name(typed)
            }
        }
    }
}

/// Functions with what they give.
fn functions() -> [(&'static str, &'static str); 30] {
    [
        ("rate(", tr("growth per second over a range")),
        ("increase(", tr("growth over a range")),
        ("irate(", tr("growth between the last two values")),
        ("sum", tr("sum of series")),
        ("sum by ()", tr("sum by labels")),
        ("avg", tr("mean of series")),
        ("max", tr("largest of series")),
        ("min", tr("smallest of series")),
        ("count", tr("how many series")),
        ("topk(", tr("the largest k series")),
        ("bottomk(", tr("the smallest k series")),
        ("quantile(", tr("quantile over series")),
        ("histogram_quantile(", tr("quantile of a histogram")),
        ("avg_over_time(", tr("mean over a range")),
        ("max_over_time(", tr("largest over a range")),
        ("min_over_time(", tr("smallest over a range")),
        ("sum_over_time(", tr("sum over a range")),
        ("count_over_time(", tr("how many values over a range")),
        ("quantile_over_time(", tr("quantile over a range")),
        ("last_over_time(", tr("newest over a range")),
        ("delta(", tr("difference over a range")),
        ("deriv(", tr("slope over a range")),
        ("predict_linear(", tr("where the slope leads")),
        ("absent(", tr("1 where there is nothing")),
        ("label_replace(", tr("changes a label")),
        ("clamp_max(", tr("at most")),
        ("clamp_min(", tr("at least")),
        ("abs(", tr("without sign")),
        ("round(", tr("to a multiple")),
        ("time()", tr("seconds since 1970")),
    ]
}

/// Completes PromQL.
pub(super) async fn complete(query: &QueryService, text: &str, range: TimeRange, language: Language) -> Completions {
    let values_of = |values: usize| language.scope(|| counted(values as u64, "value"));
    match place(text) {
        Place::Name(typed) if !typed.is_empty() => {
            let (metrics, _) = query.metrics(range).await.unwrap_or_default();
            let mut all = Vec::new();
            for metric in &metrics {
                let detail =
                    [metric.metric_type.as_str(), metric.unit.as_str(), &format::clipped(&metric.description, 60)]
                        .join(" ");
                let endings: &[&str] =
                    if metric.metric_type == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
                for ending in endings {
                    let name = format!("{}{ending}", metric.promql_name);
                    all.push(Completion { text: name.clone(), shown: name, detail: detail.trim().to_owned() });
                }
            }
            all.extend(language.scope(functions).map(|(name, what)| Completion {
                text: name.to_owned(),
                shown: name.to_owned(),
                detail: what.to_owned(),
            }));
            Completions { replace: units(typed), items: matching(typed, all) }
        }
        Place::Label { metric, typed } => {
            let labels = query.metric_labels(metric, range).await.unwrap_or_default();
            let all = labels.iter().filter(|(name, _)| *name != "__name__").map(|(name, values)| Completion {
                text: format!("{name}=\""),
                shown: name.clone(),
                detail: values_of(values.len()),
            });
            Completions { replace: units(typed), items: matching(typed, all) }
        }
        Place::Value { metric, label, typed } => {
            let labels = query.metric_labels(metric, range).await.unwrap_or_default();
            let values = labels.get(label).into_iter().flatten().map(|value| Completion {
                text: format!("{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")),
                shown: format::clipped(value, 80),
                detail: String::new(),
            });
            Completions { replace: units(typed), items: matching(typed, values) }
        }
        Place::Grouping(typed) => {
            let labels = query.metric_labels("", range).await.unwrap_or_default();
            let all = labels.iter().filter(|(name, _)| *name != "__name__").map(|(name, values)| Completion {
                text: name.clone(),
                shown: name.clone(),
                detail: values_of(values.len()),
            });
            Completions { replace: units(typed), items: matching(typed, all) }
        }
        _ => Completions::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_the_caret_is_found() {
        assert_eq!(place("sum(rate(http_req"), Place::Name("http_req"));
        assert_eq!(place("rate(http_requests_total{jo"), Place::Label { metric: "http_requests_total", typed: "jo" });
        assert_eq!(place("up{job=\"a\", instance=~\"b"), Place::Value { metric: "up", label: "instance", typed: "b" });
        assert_eq!(place("sum by (serv"), Place::Grouping("serv"));
        assert_eq!(place("rate(x[5"), Place::Elsewhere);
        assert_eq!(place("label_replace(x, \"dst"), Place::Elsewhere);
        assert_eq!(place("x > 1"), Place::Elsewhere);
    }
}
