//! Prometheus remote write 1.0 and 2.0 (<https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/>).
//!
//! A series is kept as it came: its name is the metric's, its other labels are attributes, and its scope
//! ([`PROMETHEUS_SCOPE`]) says that both are given back unchanged. `job` and `instance` also name the service in the resource. Any
//! timestamp is kept, also before 1970. Native histograms are exponential histograms, those with bounds of their own are histograms.
//! What is known of a metric is remembered and written beside its later points, and once in a while as a point without value, so that it
//! is known even when the series and what is known of them come in different requests.

mod histogram;
mod messages;

use crate::otlp::metrics::{Columns, Metric, Point};
use crate::otlp::{DecodeError, Decoded, check_room};
use crate::write::Message;
use hashbrown::HashMap;
use mangru_store::nested::Exemplar;
use mangru_store::value::{AnyValue, STALE_BITS};
use mangru_store::{PROMETHEUS_SCOPE, PROMETHEUS_TYPE};
use messages::{Series, Written};
use parking_lot::Mutex;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

/// The number of gauges and sums among the kinds of metrics.
const GAUGE: u32 = 5;
const SUM: u32 = 7;
const CUMULATIVE: i32 = 2;
/// The bit of a point that says that its series has ended.
const NO_RECORDED_VALUE: u32 = 1;
/// Metrics whose descriptions are remembered.
const MAX_METRICS: usize = 100_000;
/// What is known of a metric is written again after so long: half of what is looked back for it.
const WRITE_AGAIN_NS: u64 = 1_800_000_000_000;
/// Refused series that are told of.
const NAMED_ERRORS: usize = 5;

/// The names of types by their numbers in the protocol.
const TYPES: [&str; 8] = ["unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"];

/// Which version of the protocol a request is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// What is known of a metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    kind: &'static str,
    help: String,
    unit: String,
    /// What is written of its type beside each point.
    metadata: String,
    written: u64,
}

/// What is known of all metrics, by the names of their families.
#[derive(Clone, Debug, Default)]
pub(super) struct Families(Arc<Mutex<HashMap<String, Arc<Known>>>>);

/// How much of a request was kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) samples: u64,
    pub(super) histograms: u64,
    pub(super) exemplars: u64,
    pub(super) refused: u64,
}

impl Families {
    /// Remembers, and says whether it should be written.
    fn learn(&self, family: &str, found: Known, now: u64) -> bool {
        let mut all = self.0.lock();
        if let Some(known) = all.get_mut(family) {
            let is_new = (known.kind, &known.help, &known.unit) != (found.kind, &found.help, &found.unit);
            let is_old = now.saturating_sub(known.written) >= WRITE_AGAIN_NS;
            if is_new || is_old {
                *known = Arc::new(Known { written: now, ..found });
            }
            return is_new || is_old;
        }
        if all.len() < MAX_METRICS {
            all.insert(family.to_owned(), Arc::new(Known { written: now, ..found }));
        }
        true
    }

    /// What is known of a series' metric.
    fn of(&self, name: &str) -> Option<Arc<Known>> {
        let all = self.0.lock();
        let family = || {
            let stem = ["_bucket", "_count", "_sum"].iter().find_map(|ending| name.strip_suffix(ending))?;
            all.get(stem).filter(|known| matches!(known.kind, "histogram" | "gaugehistogram" | "summary"))
        };
        all.get(name).or_else(family).cloned()
    }
}

/// Decodes a request, unpacked.
///
/// # Errors
/// When the bytes are no such message. Series that are wrong are refused alone, and named in the message.
pub(super) fn decode(
    message: &[u8],
    version: Version,
    arrival: u64,
    families: &Families,
) -> Result<(Decoded, Counts), DecodeError> {
    let wrong = |error| DecodeError::Request(format!("cannot decode the remote write request: {error}"));
    let mut writer = Writer {
        points: Columns::new(),
        counts: Counts::default(),
        services: BTreeMap::new(),
        errors: Vec::new(),
        families,
        arrival,
        resource: None,
    };
    writer.points.context.enter_scope(&scope()).map_err(wrong)?;
    messages::each(message, version, |number, written| {
        match written {
            Written::Series(series) => {
                if let Err(why) = writer.series(series)? {
                    writer.counts.refused += 1;
                    if writer.errors.len() < NAMED_ERRORS {
                        writer.errors.push(format!("timeseries[{number}]: {why}"));
                    }
                }
            }
            Written::Metadata { family, kind, help, unit } => writer.metadata(family, kind, help, unit)?,
        }
        Ok(())
    })
    .map_err(wrong)?;
    let Writer { points, counts, services, errors, .. } = writer;
    let mut message = errors.join("; ");
    if counts.refused > errors.len() as u64 {
        // Writing to a string cannot fail.
        let _ = write!(message, "; and {} more", counts.refused - errors.len() as u64);
    }
    let batch = points.finish().map_err(DecodeError::Columns)?;
    Ok((Decoded { batch, rejected: counts.refused, message, warnings: BTreeMap::new(), services }, counts))
}

/// The scope of all series, as a `ScopeMetrics`.
fn scope() -> Vec<u8> {
    let (mut outer, mut scope) = (Message::default(), Message::default());
    scope.text(1, PROMETHEUS_SCOPE);
    outer.message(1, &scope);
    outer.0
}

struct Writer<'a> {
    points: Columns,
    counts: Counts,
    services: BTreeMap<String, u64>,
    errors: Vec<String>,
    families: &'a Families,
    arrival: u64,
    /// The job and the instance whose resource was entered last.
    resource: Option<(String, String)>,
}

type Wire<T> = Result<T, crate::wire::WireError>;

impl Writer<'_> {
    fn enter(&mut self, job: &str, instance: &str) -> Wire<()> {
        if self.resource.as_ref().is_some_and(|(known, other)| known == job && other == instance) {
            return Ok(());
        }
        let (mut outer, mut resource) = (Message::default(), Message::default());
        let (namespace, service) = job.rsplit_once('/').unwrap_or(("", job));
        for (key, value) in
            [("service.name", service), ("service.namespace", namespace), ("service.instance.id", instance)]
        {
            if !value.is_empty() {
                resource.attribute(1, key, value);
            }
        }
        outer.message(1, &resource);
        self.points.context.enter_resource(&outer.0)?;
        self.resource = Some((job.to_owned(), instance.to_owned()));
        Ok(())
    }

    /// Adds a point without value that says what a metric is.
    fn metadata(&mut self, family: &str, kind: u64, help: &str, unit: &str) -> Wire<()> {
        let kind = usize::try_from(kind).ok().and_then(|kind| TYPES.get(kind)).copied().unwrap_or(TYPES[0]);
        let known = Known { kind, help: help.to_owned(), unit: unit.to_owned(), metadata: metadata(kind), written: 0 };
        if family.is_empty() || !self.families.learn(family, known, self.arrival) {
            return Ok(());
        }
        check_room(self.points.rows)?;
        self.enter("", "")?;
        let metric = Metric {
            name: family,
            description: help,
            unit,
            metadata: Some(Cow::Owned(metadata(kind))),
            kind: GAUGE,
            kind_name: "gauge",
            ..Metric::default()
        };
        self.points.add(&metric, &Point { time: self.arrival, ..Point::default() }, self.arrival);
        *self.services.entry(self.points.context.service_name.clone()).or_default() += 1;
        Ok(())
    }

    /// Adds a series' samples; the inner error says what is wrong with it.
    fn series(&mut self, series: Series<'_>) -> Wire<Result<(), String>> {
        let Series { labels, samples, histograms, exemplars, metadata: own, start } = series;
        let name = match checked(&labels) {
            Ok(name) => name,
            Err(why) => return Ok(Err(why)),
        };
        let of = |name: &str| labels.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
        if let Some((kind, help, unit)) =
            own.filter(|(kind, help, unit)| *kind != 0 || !help.is_empty() || !unit.is_empty())
        {
            let is_part = matches!(kind, 3..=5);
            let stem = ["_bucket", "_count", "_sum"].iter().find_map(|ending| name.strip_suffix(ending));
            self.metadata(stem.filter(|_| is_part).unwrap_or(name), kind, help, unit)?;
        }
        let job = if of("job").is_empty() { of("service_name") } else { of("job") };
        self.enter(job, of("instance"))?;
        let known = self.families.of(name);
        let attributes: Vec<(String, AnyValue)> = labels
            .iter()
            .filter(|(label, value)| *label != "__name__" && !value.is_empty())
            .map(|(label, value)| ((*label).to_owned(), AnyValue::String((*value).to_owned())))
            .collect();
        let is_counter = known.as_ref().is_some_and(|known| known.kind == "counter");
        let number = Metric {
            name,
            description: known.as_ref().map_or("", |known| &known.help),
            unit: known.as_ref().map_or("", |known| &known.unit),
            metadata: known.as_ref().map(|known| Cow::Borrowed(known.metadata.as_str())),
            kind: if is_counter { SUM } else { GAUGE },
            kind_name: if is_counter { "sum" } else { "gauge" },
            temporality: is_counter.then_some(CUMULATIVE),
            is_monotonic: is_counter.then_some(true),
            ..Metric::default()
        };
        let before = self.points.rows;
        let mut points: Vec<(Option<&'static str>, Point)> = Vec::new();
        for (time, value) in samples {
            let mut point = point(time, start);
            if value.to_bits() == STALE_BITS {
                point.flags = NO_RECORDED_VALUE;
            } else {
                point.double = Some(value);
            }
            points.push((None, point));
            self.counts.samples += 1;
        }
        for found in &histograms {
            match found.point(start) {
                Ok((kind, point)) => points.push((Some(kind), point)),
                Err(why) => return Ok(Err(format!("{name}: {why}"))),
            }
            self.counts.histograms += 1;
        }
        self.counts.exemplars += exemplars.len() as u64;
        let exemplars: Vec<(i64, Exemplar)> = exemplars.into_iter().map(exemplar).collect();
        match points.last_mut() {
            Some((_, point)) => point.exemplars = exemplars.into_iter().map(|(_, exemplar)| exemplar).collect(),
            // Prometheus sends exemplars in series of their own.
            None if !exemplars.is_empty() => {
                let mut point = point(exemplars[0].0, start);
                point.exemplars = exemplars.into_iter().map(|(_, exemplar)| exemplar).collect();
                points.push((None, point));
            }
            None => {}
        }
        for (kind, mut point) in points {
            check_room(self.points.rows)?;
            point.attributes.clone_from(&attributes);
            match kind {
                None => self.points.add(&number, &point, self.arrival),
                Some(kind) => {
                    let metric = Metric {
                        kind_name: kind,
                        temporality: Some(if point.is_gauge { 0 } else { CUMULATIVE }),
                        is_monotonic: None,
                        metadata: number.metadata.clone(),
                        ..number
                    };
                    self.points.add(&metric, &point, self.arrival);
                }
            }
        }
        let rows = (self.points.rows - before) as u64;
        if rows > 0 {
            *self.services.entry(self.points.context.service_name.clone()).or_default() += rows;
        }
        Ok(Ok(()))
    }
}

/// What a metric's metadata hold of its type, as OpenTelemetry's compatibility specification names it.
fn metadata(kind: &str) -> String {
    format!("{{\"{PROMETHEUS_TYPE}\":\"{kind}\"}}")
}

fn point(time_ms: i64, start_ms: i64) -> Point {
    Point {
        exact_time: Some(time_ms.saturating_mul(1_000_000)),
        start: u64::try_from(start_ms).unwrap_or_default().saturating_mul(1_000_000),
        ..Point::default()
    }
}

/// The name of a series whose labels are as they must be.
fn checked<'a>(labels: &[(&'a str, &'a str)]) -> Result<&'a str, String> {
    let mut before: Option<&str> = None;
    let mut sorted: Vec<&str> = labels.iter().map(|(name, _)| *name).collect();
    sorted.sort_unstable();
    for name in sorted {
        if name.is_empty() {
            return Err("labels: a label has no name".to_owned());
        }
        if before == Some(name) {
            return Err(format!("labels: {name} stands twice"));
        }
        before = Some(name);
    }
    let name = labels.iter().find(|(name, value)| *name == "__name__" && !value.is_empty());
    name.map(|(_, name)| *name).ok_or_else(|| "labels: __name__ is missing".to_owned())
}

fn exemplar(found: messages::Exemplar<'_>) -> (i64, Exemplar) {
    let mut exemplar = Exemplar {
        time_unix_nano: found.time.saturating_mul(1_000_000).max(0).to_string(),
        value: AnyValue::Double(found.value),
        ..Exemplar::default()
    };
    for (name, value) in found.labels {
        match name {
            "trace_id" => value.clone_into(&mut exemplar.trace_id),
            "span_id" => value.clone_into(&mut exemplar.span_id),
            _ => exemplar.filtered_attributes.push((name.to_owned(), AnyValue::String(value.to_owned()))),
        }
    }
    (found.time, exemplar)
}
