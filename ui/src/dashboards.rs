//! Dashboards: YAML files of panels over the search language, SQL and PromQL, with variables.
//!
//! A file is checked as a whole before it is shown: unknown keys, contradictions, queries that do not parse and variables
//! that are not there are told with line and key. Ready-made dashboards are files of the same kind, compiled in.

mod check;
pub(crate) mod grafana;
pub(crate) mod panel_data;
mod ready_made;
pub(crate) mod variables;
pub(crate) mod words;
mod write;

pub(crate) use check::{is_safe_url, read};
pub(crate) use ready_made::READY_MADE;

use crate::chart::plot::Style;
use serde::Deserialize;

/// Columns of the grid.
pub(crate) const COLUMNS: u8 = 12;
/// The height of the tallest panel, in rows of the grid.
pub(crate) const MAX_HEIGHT: u8 = 8;
const DEFAULT_WIDTH: u8 = 6;
const DEFAULT_HEIGHT: u8 = 3;

/// A dashboard.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Dashboard {
    /// What it is called.
    pub(crate) title: String,
    /// What it is for.
    #[serde(default)]
    pub(crate) description: String,
    /// The range it opens with, such as `-1h`.
    #[serde(default)]
    pub(crate) range: Option<String>,
    /// What its queries can be asked for.
    #[serde(default)]
    pub(crate) variables: Vec<Variable>,
    /// What it shows.
    #[serde(default)]
    pub(crate) panels: Vec<Panel>,
}

/// Something that a reader chooses and queries name as `$name` or `${name}`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variable {
    /// How queries name it.
    pub(crate) name: String,
    /// How it is called on the page.
    #[serde(default)]
    pub(crate) label: String,
    /// The values there are; or they come from a field, or from a label of metrics.
    #[serde(default)]
    pub(crate) values: Vec<String>,
    /// A field of logs or spans whose values there are.
    #[serde(default)]
    pub(crate) field: String,
    /// Of which signal the field is: `logs` or `spans`.
    #[serde(default)]
    pub(crate) signal: RowSignal,
    /// A label of metrics whose values there are.
    #[serde(default)]
    pub(crate) metric_label: String,
    /// Only of the series that this selector of PromQL finds.
    #[serde(default)]
    pub(crate) of: String,
    /// What is chosen at first; all, or the first value without it.
    #[serde(default)]
    pub(crate) default: Option<String>,
    /// Whether all values together may be chosen.
    #[serde(default)]
    pub(crate) all: bool,
}

/// Rows that can be searched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RowSignal {
    Logs,
    #[default]
    Spans,
}

impl RowSignal {
    /// The store's signal.
    pub(crate) const fn signal(self) -> mangru_store::Signal {
        match self {
            Self::Logs => mangru_store::Signal::Logs,
            Self::Spans => mangru_store::Signal::Spans,
        }
    }

    /// The name in files.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Spans => "spans",
        }
    }
}

/// How a panel shows what it asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Values over time.
    #[default]
    Timeseries,
    /// One number, or one a series.
    Stat,
    /// Rows and columns.
    Table,
    /// The newest log lines of a search.
    Logs,
    /// How often which value was seen when.
    Heatmap,
    /// A bar a series, the longest first.
    Bar,
    /// The services of a search and who calls whom.
    Map,
    /// Words.
    Text,
}

impl Kind {
    /// Every kind with its name.
    pub(crate) const ALL: [(&'static str, Self); 8] = [
        ("timeseries", Self::Timeseries),
        ("stat", Self::Stat),
        ("table", Self::Table),
        ("logs", Self::Logs),
        ("heatmap", Self::Heatmap),
        ("bar", Self::Bar),
        ("map", Self::Map),
        ("text", Self::Text),
    ];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, kind)| *kind == self).map_or("timeseries", |(name, _)| name)
    }
}

/// A panel.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Panel {
    /// What stands above it.
    #[serde(default)]
    pub(crate) title: String,
    /// What it means.
    #[serde(default)]
    pub(crate) description: String,
    /// How it shows.
    #[serde(default)]
    pub(crate) kind: Kind,
    /// Columns of the grid, 1 to 12.
    #[serde(default = "default_width")]
    pub(crate) width: u8,
    /// Rows of the grid, 1 to 8.
    #[serde(default = "default_height")]
    pub(crate) height: u8,
    /// What its numbers count: a name of [`crate::unit::Unit::ALL`]. Guessed without it.
    #[serde(default)]
    pub(crate) unit: Option<String>,
    /// Of time series: `line`, `area`, `stack` or `bars`.
    #[serde(default)]
    pub(crate) style: Option<String>,
    /// What it asks.
    #[serde(default)]
    pub(crate) queries: Vec<Query>,
    /// Which of a series' values a stat, a bar or a table shows: `last`, `sum`, `mean`, `min` or `max`.
    #[serde(default)]
    pub(crate) value: Reduce,
    /// Values that should not be passed.
    #[serde(default)]
    pub(crate) thresholds: Vec<Threshold>,
    /// Rows of a table or of log lines, 1 to 500.
    #[serde(default)]
    pub(crate) limit: Option<usize>,
    /// Columns of log lines beside time, severity, service and message.
    #[serde(default)]
    pub(crate) columns: Vec<String>,
    /// The words of a text.
    #[serde(default)]
    pub(crate) text: String,
    /// Where its title leads.
    #[serde(default)]
    pub(crate) links: Vec<Link>,
}

const fn default_width() -> u8 {
    DEFAULT_WIDTH
}

const fn default_height() -> u8 {
    DEFAULT_HEIGHT
}

impl Default for Panel {
    fn default() -> Self {
        Self {
            title: String::new(),
            description: String::new(),
            kind: Kind::default(),
            width: DEFAULT_WIDTH,
            height: DEFAULT_HEIGHT,
            unit: None,
            style: None,
            queries: Vec::new(),
            value: Reduce::default(),
            thresholds: Vec::new(),
            limit: None,
            columns: Vec::new(),
            text: String::new(),
            links: Vec::new(),
        }
    }
}

impl Panel {
    /// How its time series are drawn.
    pub(crate) fn style(&self) -> Style {
        self.style.as_deref().and_then(Style::named).unwrap_or_default()
    }
}

/// A question in one of three languages.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Query {
    /// PromQL over metrics.
    #[serde(default)]
    pub(crate) promql: Option<String>,
    /// A search over logs or spans.
    #[serde(default)]
    pub(crate) search: Option<String>,
    /// One statement of SQL.
    #[serde(default)]
    pub(crate) sql: Option<String>,
    /// Of a search: what it searches.
    #[serde(default)]
    pub(crate) signal: Option<RowSignal>,
    /// Of a search: what is told of the rows.
    #[serde(default)]
    pub(crate) figure: Figure,
    /// Of a search with a figure of a number: the field that holds it, `duration` without it.
    #[serde(default)]
    pub(crate) field: Option<String>,
    /// Of a search: the field to tell rows apart by.
    #[serde(default)]
    pub(crate) by: Option<String>,
    /// The name of a series; `{{label}}` stands for its value.
    #[serde(default)]
    pub(crate) legend: String,
}

/// What is told of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Figure {
    /// How many.
    #[default]
    Count,
    /// How many a second.
    Rate,
    /// Those with errors a second.
    ErrorRate,
    /// Those with errors among all, 0 to 1.
    ErrorRatio,
    /// Of a number: the sum.
    Sum,
    /// The mean.
    Mean,
    /// The smallest.
    Min,
    /// The largest.
    Max,
    /// Percentiles.
    P50,
    P90,
    P95,
    P99,
}

impl Figure {
    /// Every figure with its name.
    pub(crate) const ALL: [(&'static str, Self); 12] = [
        ("count", Self::Count),
        ("rate", Self::Rate),
        ("error_rate", Self::ErrorRate),
        ("error_ratio", Self::ErrorRatio),
        ("sum", Self::Sum),
        ("mean", Self::Mean),
        ("min", Self::Min),
        ("max", Self::Max),
        ("p50", Self::P50),
        ("p90", Self::P90),
        ("p95", Self::P95),
        ("p99", Self::P99),
    ];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, figure)| *figure == self).map_or("count", |(name, _)| name)
    }
}

/// One value for a series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Reduce {
    /// The newest.
    #[default]
    Last,
    Sum,
    Mean,
    Min,
    Max,
}

impl Reduce {
    /// Every way with its name.
    pub(crate) const ALL: [(&'static str, Self); 5] =
        [("last", Self::Last), ("sum", Self::Sum), ("mean", Self::Mean), ("min", Self::Min), ("max", Self::Max)];

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, way)| *way == self).map_or("last", |(name, _)| name)
    }

    /// The value of some; none of none.
    pub(crate) fn of(self, values: impl Iterator<Item = f64>) -> Option<f64> {
        let values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        let sum = || values.iter().sum::<f64>();
        match self {
            Self::Last => values.last().copied(),
            _ if values.is_empty() => None,
            Self::Sum => Some(sum()),
            Self::Mean => Some(sum() / values.len() as f64),
            Self::Min => values.iter().copied().reduce(f64::min),
            Self::Max => values.iter().copied().reduce(f64::max),
        }
    }
}

/// A value that should not be passed.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Threshold {
    /// The value, in the panel's unit.
    pub(crate) value: f64,
    /// What it means.
    #[serde(default)]
    pub(crate) label: String,
}

/// A way onwards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    /// Its words.
    pub(crate) title: String,
    /// A path of ours, or an address of the web.
    pub(crate) url: String,
}
