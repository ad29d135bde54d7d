//! From selectors to rows, and from rows to lines with their labels.

use super::extract::sanitized;
use super::stage::{Kind, Label, Labels, Line};
use super::{LinePattern, LineQuery, Matcher, Stage};
use crate::cells::Cells;
use crate::language::{Expr, ResourceTest, TextPattern, severity_name};
use crate::scan::{self, ScanRequest};
use crate::{QueryError, QueryService};
use arrow::record_batch::RecordBatch;
use hashbrown::HashMap;
use mangru_store::value::read_object;
use mangru_store::{LOKI_TENANT, PROMOTED, Signal, TimeRange, UNKNOWN_SERVICE};
use std::borrow::Cow;
use std::sync::Arc;

/// The label of every stream.
const SERVICE: &str = "service_name";

/// The labels of the stream with this resource, by name.
pub(super) fn stream_labels(resource: &str) -> Vec<Label> {
    let mut labels: Vec<Label> = Vec::new();
    let mut add = |name: String, value: &str| {
        if !value.is_empty() && !labels.iter().any(|label| *label.name == *name) {
            labels.push(Label { name: Arc::from(name), value: Arc::from(value), kind: Kind::Stream });
        }
    };
    for (key, value) in read_object(resource) {
        if key != LOKI_TENANT {
            add(sanitized(&key), &value.text());
        }
    }
    add(SERVICE.to_owned(), UNKNOWN_SERVICE);
    labels.sort();
    labels
}

/// Whether a resource is of one of these tenants; all are when none is named.
fn is_of(tenants: &[String], resource: &str) -> bool {
    tenants.is_empty()
        || read_object(resource)
            .iter()
            .any(|(key, value)| key == LOKI_TENANT && tenants.iter().any(|tenant| *tenant == value.text()))
}

fn value<'a>(labels: &'a [Label], name: &str) -> &'a str {
    labels.iter().find(|label| *label.name == *name).map_or("", |label| &label.value)
}

/// A test for the resources of streams with such labels, of these tenants.
fn resources(matchers: &[Matcher], tenants: &[String]) -> Expr {
    let shown = matchers.iter().map(|matcher| format!("{} {:?}", matcher.name, matcher.test)).collect::<Vec<_>>();
    let (matchers, tenants) = (matchers.to_vec(), tenants.to_vec());
    let passes = move |resource: &str| {
        let labels = stream_labels(resource);
        is_of(&tenants, resource) && matchers.iter().all(|matcher| matcher.test.passes(value(&labels, &matcher.name)))
    };
    Expr::Resource(ResourceTest { shown: format!("{{{}}}", shown.join(", ")), passes: Arc::new(passes) })
}

/// A line filter as a tree; `None` when it cannot be told there.
fn line_filter(is_wanted: bool, patterns: &[LinePattern]) -> Result<Option<Expr>, QueryError> {
    let mut any = Vec::new();
    for pattern in patterns {
        any.push(match pattern {
            LinePattern::Text(text) if text.is_empty() => Expr::All,
            LinePattern::Text(text) => {
                let regex = regex::Regex::new(&regex::escape(text))
                    .map_err(|error| QueryError::invalid("query", format!("a line filter is too long: {error}")))?;
                // The words of the text narrow the rows; the expression is the text as it stands.
                Expr::Text(TextPattern::Glob(regex, text.clone()))
            }
            LinePattern::Regex(regex) => Expr::Text(TextPattern::Regex(regex.clone())),
            LinePattern::Ip(_) => return Ok(None),
        });
    }
    let any = if any.len() == 1 { any.remove(0) } else { Expr::Or(any) };
    Ok(Some(if is_wanted { any } else { Expr::Not(Box::new(any)) }))
}

/// Whether a stage changes the line.
const fn changes_line(stage: &Stage) -> bool {
    matches!(stage, Stage::LineFormat(_) | Stage::Decolorize | Stage::Unpack)
}

/// What of a query the scan answers, and the stages that remain.
pub(super) fn plan(query: &LineQuery, tenants: &[String]) -> Result<(Expr, Vec<Stage>), QueryError> {
    let mut tree = resources(&query.matchers, tenants);
    let mut rest = Vec::new();
    let mut is_changed = false;
    for stage in &query.stages {
        if let Stage::Line { is_wanted, patterns } = stage
            && !is_changed
            && let Some(filter) = line_filter(*is_wanted, patterns)?
        {
            tree = tree.and(filter);
            continue;
        }
        is_changed |= changes_line(stage);
        rest.push(stage.clone());
    }
    Ok((tree, rest))
}

/// What is read of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) text: bool,
    pub(super) metadata: bool,
}

impl Wanted {
    pub(super) const ALL: Self = Self { text: true, metadata: true };

    pub(super) fn columns(self) -> Vec<&'static str> {
        let mut columns = vec!["time", "resource_attributes"];
        if self.text {
            columns.push("body");
        }
        if self.metadata {
            columns.extend([
                "attributes",
                "attribute_types",
                "trace_id",
                "span_id",
                "severity_number",
                "severity_text",
            ]);
            columns.extend(["scope_name", "event_name"]);
            columns.extend(PROMOTED.iter().map(|promoted| promoted.column));
        }
        columns
    }
}

/// The name of a severity as Loki writes `detected_level`.
fn level(number: i64, text: &str) -> Cow<'_, str> {
    match severity_name(number) {
        Some(name) => name.into(),
        None if text.is_empty() => "unknown".into(),
        None => text.to_lowercase().into(),
    }
}

/// The streams of the batches of a scan, each with its labels made once.
#[derive(Default)]
pub(super) struct KnownStreams(HashMap<String, Arc<[Label]>>);

impl KnownStreams {
    pub(super) fn labels(&mut self, resource: &str) -> Arc<[Label]> {
        if let Some(known) = self.0.get(resource) {
            return Arc::clone(known);
        }
        let labels: Arc<[Label]> = stream_labels(resource).into();
        self.0.insert(resource.to_owned(), Arc::clone(&labels));
        labels
    }
}

/// Calls `each` with the lines of a batch that pass the stages.
pub(super) fn each_line(
    batch: &RecordBatch,
    stages: &[Stage],
    wanted: Wanted,
    known: &mut KnownStreams,
    mut each: impl FnMut(Line<'_>) -> Result<(), QueryError>,
) -> Result<(), QueryError> {
    let cells = Cells::new(batch);
    for row in 0..batch.num_rows() {
        let stream = known.labels(cells.text("resource_attributes", row).unwrap_or_default());
        let mut labels = Labels::new(&stream);
        if wanted.metadata {
            add_metadata(&cells, row, &mut labels);
        }
        let text = if wanted.text { cells.text("body", row).unwrap_or_default() } else { "" };
        let time = cells.integer("time", row).unwrap_or_default();
        let mut line = Line { time, text: Cow::Borrowed(text), labels };
        if line.passes(stages) {
            each(line)?;
        }
    }
    Ok(())
}

fn add_metadata(cells: &Cells<'_>, row: usize, labels: &mut Labels) {
    for (key, value) in cells.attributes(row) {
        labels.add_metadata(&sanitized(&key), &value.text());
    }
    labels.add_metadata("trace_id", &cells.id("trace_id", row));
    labels.add_metadata("span_id", &cells.id("span_id", row));
    for (column, name) in [("scope_name", "scope_name"), ("event_name", "event_name")] {
        labels.add_metadata(name, cells.text(column, row).unwrap_or_default());
    }
    let number = cells.integer("severity_number", row).unwrap_or_default();
    labels.add_metadata("detected_level", &level(number, cells.text("severity_text", row).unwrap_or_default()));
}

/// What streams there are.
pub(crate) struct Streams {
    /// Any of these must fit; all streams do when there is none.
    pub(crate) selectors: Vec<Vec<Matcher>>,
    /// When their rows happened.
    pub(crate) range: TimeRange,
    /// Whose they are.
    pub(crate) tenants: Vec<String>,
}

/// A stream's labels with its rows.
pub(crate) type Stream = (Vec<Label>, u64);

impl QueryService {
    /// The streams that fit. Sealed rows are counted by whole parts, from their indexes.
    pub(crate) async fn logql_streams(&self, asked: &Streams) -> Result<Vec<Stream>, QueryError> {
        let by_resource = match self.indexed_resources(asked.range).await? {
            Some(found) => found,
            None => self.scanned_resources(asked.range).await?,
        };
        let mut found: std::collections::BTreeMap<Vec<Label>, u64> = std::collections::BTreeMap::new();
        for (resource, rows) in by_resource {
            let labels = stream_labels(&resource);
            let fits = asked.selectors.is_empty()
                || asked
                    .selectors
                    .iter()
                    .any(|matchers| matchers.iter().all(|matcher| matcher.test.passes(value(&labels, &matcher.name))));
            if rows > 0 && fits && is_of(&asked.tenants, &resource) {
                *found.entry(labels).or_default() += rows;
            }
        }
        Ok(found.into_iter().collect())
    }

    /// Distinct resources of logs by the indexes of parts; `None` when a part has none.
    async fn indexed_resources(&self, range: TimeRange) -> Result<Option<HashMap<String, u64>>, QueryError> {
        let snapshot = self.store().snapshot(Signal::Logs);
        let hot = snapshot.hot;
        let mut found = scan::blocking(move || {
            let mut found = HashMap::new();
            for batch in &hot {
                count_resources(batch, Some(range), &mut found);
            }
            Ok(found)
        })
        .await?;
        for part in snapshot.parts.iter().filter(|part| range.touches(part.min_time(), part.max_time())) {
            let Some(index) = part.index().await? else { return Ok(None) };
            for (resource, rows) in scan::blocking(move || Ok(index.resources()?)).await? {
                *found.entry(resource).or_default() += rows;
            }
        }
        Ok(Some(found))
    }

    async fn scanned_resources(&self, range: TimeRange) -> Result<HashMap<String, u64>, QueryError> {
        let (control, _guard) = self.control();
        let _turn = self.turn().await?;
        let columns = vec!["resource_attributes"];
        let scan = ScanRequest { signal: Signal::Logs, filter: Expr::All, range, columns };
        let each = |found: &mut HashMap<String, u64>, batch: &RecordBatch| {
            count_resources(batch, None, found);
            Ok(())
        };
        let (states, _) = scan::for_each(self.store(), &scan, &control, HashMap::new, each).await?;
        let mut all = HashMap::new();
        for (resource, rows) in states.into_iter().flatten() {
            *all.entry(resource).or_default() += rows;
        }
        Ok(all)
    }
}

fn count_resources(batch: &RecordBatch, range: Option<TimeRange>, found: &mut HashMap<String, u64>) {
    let cells = Cells::new(batch);
    for row in 0..batch.num_rows() {
        let is_inside = range.is_none_or(|range| cells.integer("time", row).is_some_and(|time| range.contains(time)));
        let Some(resource) = cells.text("resource_attributes", row).filter(|_| is_inside) else { continue };
        match found.get_mut(resource) {
            Some(rows) => *rows += 1,
            None => {
                found.insert(resource.to_owned(), 1);
            }
        }
    }
}
