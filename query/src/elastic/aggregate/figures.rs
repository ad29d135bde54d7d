//! Figures of a field's values: sums, means, percentiles, how many there are.

use serde_json::{Map, Value as Json, json};
use std::collections::HashSet;

/// What is asked of the values.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Figure {
    Average,
    Sum,
    Least,
    Most,
    Stats { is_extended: bool, sigma: f64 },
    Count,
    Distinct,
    Percentiles { percents: Vec<f64>, is_keyed: bool },
    Ranks { values: Vec<f64> },
}

impl Figure {
    /// Reads a type of figures; `None` when it is none.
    pub(super) fn read(kind: &str, body: &Json) -> Result<Option<Self>, String> {
        let numbers = |name: &str| -> Result<Option<Vec<f64>>, String> {
            let Some(list) = body.get(name).filter(|list| !list.is_null()) else { return Ok(None) };
            let number = |value: &Json| value.as_f64().or_else(|| value.as_str()?.parse().ok());
            let list = list.as_array().map_or(std::slice::from_ref(list), Vec::as_slice);
            let all: Option<Vec<f64>> = list.iter().map(number).collect();
            all.map(Some).ok_or_else(|| format!("[{name}] is a list of numbers"))
        };
        Ok(Some(match kind {
            "avg" => Self::Average,
            "sum" => Self::Sum,
            "min" => Self::Least,
            "max" => Self::Most,
            "stats" => Self::Stats { is_extended: false, sigma: 2.0 },
            "extended_stats" => Self::Stats {
                is_extended: true,
                sigma: body["sigma"].as_f64().or_else(|| body["sigma"].as_str()?.parse().ok()).unwrap_or(2.0),
            },
            "value_count" => Self::Count,
            "cardinality" => Self::Distinct,
            "percentiles" => Self::Percentiles {
                percents: numbers("percents")?.unwrap_or_else(|| vec![1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0]),
                is_keyed: body["keyed"].as_bool().unwrap_or(true),
            },
            "percentile_ranks" => Self::Ranks { values: numbers("values")?.ok_or("[values] is missing")? },
            _ => return Ok(None),
        }))
    }
}

/// What was gathered of the values.
#[derive(Clone, Debug)]
pub(super) struct Figures {
    figure: Figure,
    /// Values, those that are no numbers too.
    all: u64,
    count: u64,
    sum: f64,
    squares: f64,
    least: f64,
    most: f64,
    numbers: Vec<f64>,
    distinct: HashSet<String>,
}

impl Figures {
    pub(super) fn new(figure: &Figure) -> Self {
        Self {
            figure: figure.clone(),
            all: 0,
            count: 0,
            sum: 0.0,
            squares: 0.0,
            least: f64::INFINITY,
            most: f64::NEG_INFINITY,
            numbers: Vec::new(),
            distinct: HashSet::new(),
        }
    }

    const fn keeps_numbers(&self) -> bool {
        matches!(self.figure, Figure::Percentiles { .. } | Figure::Ranks { .. })
    }

    /// Adds a value, and gives how much more memory it takes.
    pub(super) fn add(&mut self, text: &str, number: Option<f64>) -> usize {
        self.all += 1;
        if self.figure == Figure::Distinct {
            if self.distinct.contains(text) {
                return 0;
            }
            self.distinct.insert(text.to_owned());
            return 64 + text.len();
        }
        let Some(number) = number else { return 0 };
        self.count += 1;
        self.sum += number;
        self.squares += number * number;
        self.least = self.least.min(number);
        self.most = self.most.max(number);
        if self.keeps_numbers() {
            self.numbers.push(number);
            return 8;
        }
        0
    }

    pub(super) fn merge(&mut self, more: Self) {
        self.all += more.all;
        self.count += more.count;
        self.sum += more.sum;
        self.squares += more.squares;
        self.least = self.least.min(more.least);
        self.most = self.most.max(more.most);
        self.numbers.extend(more.numbers);
        self.distinct.extend(more.distinct);
    }

    fn some(&self, value: f64) -> Option<f64> {
        (self.count > 0).then_some(value)
    }

    fn variance(&self) -> f64 {
        let mean = self.sum / self.count as f64;
        (self.squares / self.count as f64 - mean * mean).max(0.0)
    }

    /// A figure by its name, for an order.
    pub(super) fn part(&self, name: &str) -> Option<f64> {
        match (&self.figure, name) {
            (Figure::Average, "value") | (_, "avg") => self.some(self.sum / self.count as f64),
            (Figure::Sum, "value") | (_, "sum") => Some(self.sum),
            (Figure::Least, "value") | (_, "min") => self.some(self.least),
            (Figure::Most, "value") | (_, "max") => self.some(self.most),
            (Figure::Count, "value") | (_, "count") => Some(self.all as f64),
            (Figure::Distinct, "value") => Some(self.distinct.len() as f64),
            (Figure::Percentiles { .. }, percent) => {
                let mut sorted = self.numbers.clone();
                sorted.sort_by(f64::total_cmp);
                quantile(&sorted, percent.parse().ok()?)
            }
            (Figure::Stats { .. }, "std_deviation") => self.some(self.variance().sqrt()),
            (Figure::Stats { .. }, "variance") => self.some(self.variance()),
            _ => None,
        }
    }

    pub(super) fn json(&self) -> Json {
        let single = |value: Option<f64>| json!({ "value": value });
        match &self.figure {
            Figure::Average => single(self.some(self.sum / self.count as f64)),
            Figure::Sum => single(Some(self.sum)),
            Figure::Least => single(self.some(self.least)),
            Figure::Most => single(self.some(self.most)),
            Figure::Count => json!({ "value": self.all }),
            Figure::Distinct => json!({ "value": self.distinct.len() }),
            Figure::Stats { is_extended, sigma } => self.stats(*is_extended, *sigma),
            Figure::Percentiles { percents, is_keyed } => {
                let mut sorted = self.numbers.clone();
                sorted.sort_by(f64::total_cmp);
                let values = percents.iter().map(|percent| (format!("{percent:?}"), quantile(&sorted, *percent)));
                if *is_keyed {
                    let values: Map<String, Json> = values.map(|(name, value)| (name, value.into())).collect();
                    return json!({ "values": values });
                }
                let list =
                    percents.iter().map(|percent| json!({ "key": percent, "value": quantile(&sorted, *percent) }));
                json!({ "values": list.collect::<Vec<_>>() })
            }
            Figure::Ranks { values } => {
                let ranks = values.iter().map(|value| {
                    let below = self.numbers.iter().filter(|number| **number <= *value).count();
                    let rank = self.some(100.0 * below as f64 / self.count as f64);
                    (format!("{value:?}"), rank.into())
                });
                json!({ "values": ranks.collect::<Map<String, Json>>() })
            }
        }
    }

    fn stats(&self, is_extended: bool, sigma: f64) -> Json {
        let mean = self.some(self.sum / self.count as f64);
        let mut stats = json!({
            "count": self.count, "min": self.some(self.least), "max": self.some(self.most), "avg": mean, "sum": self.sum,
        });
        if is_extended {
            let deviation = self.some(self.variance().sqrt());
            stats["sum_of_squares"] = json!(self.some(self.squares));
            stats["variance"] = json!(self.some(self.variance()));
            stats["std_deviation"] = json!(deviation);
            let bound = |sign: f64| mean.zip(deviation).map(|(mean, deviation)| mean + sign * sigma * deviation);
            stats["std_deviation_bounds"] = json!({ "upper": bound(1.0), "lower": bound(-1.0) });
        }
        stats
    }
}

/// A percentile of sorted numbers, between two when it lies between them.
fn quantile(sorted: &[f64], percent: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let rank = (percent / 100.0).clamp(0.0, 1.0) * last as f64;
    let lower = rank.floor() as usize;
    let upper = (lower + 1).min(last);
    Some(sorted[lower] + (sorted[upper] - sorted[lower]) * rank.fract())
}
