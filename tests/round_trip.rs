//! Whatever comes in over OTLP is given out over OTLP again: random messages of every kind, while they are hot, after the
//! journal was replayed, from a part, and from a part that was merged from others.
//!
//! What is the same in OTLP is taken as the same here: members that hold their default and members that are not there,
//! the order of records and of attributes with different keys, and how records of one resource and scope are spread over
//! messages. Keys that come twice and their order, types of values and bits of numbers are not. `MANGRU_TEST_ROUND_TRIPS` is how many stores are filled,
//! `MANGRU_TEST_SEED` the first seed.

use futures::StreamExt as _;
use mangru_collector::{Correlation, CorrelationConfig, decode_json};
use mangru_query::{ExportFormat, ExportRequest, QueryService, QuerySettings};
use mangru_store::{Signal, Store, StoreConfig, TimeRange};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Map, Value as Json, json};
use std::sync::Arc;
use std::time::Duration;

const ROUND_TRIPS: u64 = 6;
/// Messages of each signal that are hot at once, and then parts that become one.
const MESSAGES: usize = 8;
const ARRIVAL: u64 = 1_800_000_000_000_000_000;

struct Random(StdRng);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn text(&mut self) -> String {
        const PIECES: &[&str] = &[
            "a",
            "Z",
            "0",
            "7f",
            " ",
            ".",
            "-",
            "\"",
            "\\",
            "\n",
            "\u{0}",
            "\u{1}",
            "{",
            "}",
            "결제",
            "실패",
            "é",
            "😀",
            "null",
            "=",
            "\u{7f}",
            "\u{2028}",
            "trace_id",
            "{\"a\":1}",
        ];
        let length = self.below(6);
        (0..length).map(|_| PIECES[self.below(PIECES.len())]).collect()
    }

    fn key(&mut self) -> String {
        const KEYS: &[&str] = &[
            "a",
            "b",
            "a.b",
            "",
            "http.request.method",
            "http.response.status_code",
            "http.route",
            "service.name",
            "order.id",
            "trace_id",
            "span_id",
            "request_id",
            "x-correlation-id",
            "exception.type",
            "level",
            "키",
            "peer.service",
            "host.name",
        ];
        if self.one_in(6) { self.text() } else { KEYS[self.below(KEYS.len())].to_owned() }
    }

    fn unsigned(&mut self) -> u64 {
        match self.below(6) {
            0 => 0,
            1 => u64::MAX,
            2 => self.below(5) as u64,
            3 => i64::MAX as u64 + self.below(3) as u64,
            4 => 1_700_000_000_000_000_000 + self.below(1_000_000_000) as u64,
            _ => self.0.random(),
        }
    }

    fn signed(&mut self) -> i64 {
        self.unsigned() as i64
    }

    fn small(&mut self) -> u32 {
        match self.below(4) {
            0 => 0,
            1 => u32::MAX,
            _ => self.below(9) as u32,
        }
    }

    fn double(&mut self) -> Json {
        match self.below(9) {
            0 => json!("NaN"),
            1 => json!("Infinity"),
            2 => json!("-Infinity"),
            3 => json!(0.0),
            4 => json!(-0.0),
            5 => json!(3.0),
            6 => json!(f64::MIN_POSITIVE / 2.0),
            7 => json!(1e300),
            _ => json!(f64::from_bits(self.0.random::<u64>() & !(0x7ff << 52) | (0x3ff << 52))),
        }
    }

    fn hex(&mut self, bytes: usize) -> String {
        let digits: String = (0..bytes * 2 - 1).map(|_| char::from(b"0123456789abcdef"[self.below(16)])).collect();
        // Never all zeros: that is no id.
        format!("{digits}1")
    }

    fn value(&mut self, depth: usize) -> Json {
        match self.below(if depth == 0 { 6 } else { 9 }) {
            0 => json!({}),
            1 => json!({ "boolValue": self.0.random::<bool>() }),
            2 => json!({ "intValue": self.signed().to_string() }),
            3 => json!({ "doubleValue": self.double() }),
            4 => json!({ "bytesValue": (["", "AA==", "AAH/", "/w=="][self.below(4)]) }),
            5 | 6 => json!({ "stringValue": self.text() }),
            7 => {
                let values: Vec<Json> = (0..self.below(4)).map(|_| self.value(depth - 1)).collect();
                json!({ "arrayValue": { "values": values } })
            }
            _ => json!({ "kvlistValue": { "values": self.attributes(depth - 1) } }),
        }
    }

    fn attributes(&mut self, depth: usize) -> Json {
        (0..self.below(5)).map(|_| json!({ "key": self.key(), "value": self.value(depth) })).collect()
    }

    /// Sets a member, or leaves it out.
    fn maybe(&mut self, object: &mut Json, name: &str, make: impl FnOnce(&mut Self) -> Json) {
        if !self.one_in(3) {
            object[name] = make(self);
        }
    }

    fn log(&mut self) -> Json {
        let mut log = json!({ "attributes": self.attributes(2) });
        self.maybe(&mut log, "timeUnixNano", |r| json!(r.unsigned().to_string()));
        self.maybe(&mut log, "observedTimeUnixNano", |r| json!(r.unsigned().to_string()));
        self.maybe(&mut log, "severityNumber", |r| json!(r.below(26)));
        self.maybe(&mut log, "severityText", |r| json!(r.text()));
        self.maybe(&mut log, "body", |r| r.value(3));
        self.maybe(&mut log, "droppedAttributesCount", |r| json!(r.small()));
        self.maybe(&mut log, "flags", |r| json!(r.small()));
        self.maybe(&mut log, "traceId", |r| json!(r.hex(16)));
        self.maybe(&mut log, "spanId", |r| json!(r.hex(8)));
        self.maybe(&mut log, "eventName", |r| json!(r.text()));
        log
    }

    fn span(&mut self) -> Json {
        let mut span = json!({
            "traceId": self.hex(16), "spanId": self.hex(8), "attributes": self.attributes(2), "name": self.text(),
        });
        self.maybe(&mut span, "traceState", |r| json!(r.text()));
        self.maybe(&mut span, "parentSpanId", |r| json!(r.hex(8)));
        self.maybe(&mut span, "flags", |r| json!(r.small()));
        self.maybe(&mut span, "kind", |r| json!(r.below(6)));
        self.maybe(&mut span, "startTimeUnixNano", |r| json!(r.unsigned().to_string()));
        self.maybe(&mut span, "endTimeUnixNano", |r| json!(r.unsigned().to_string()));
        self.maybe(&mut span, "droppedAttributesCount", |r| json!(r.small()));
        self.maybe(&mut span, "events", |r| {
            let event = |r: &mut Self| {
                let mut event = json!({ "name": r.text(), "attributes": r.attributes(2) });
                r.maybe(&mut event, "timeUnixNano", |r| json!(r.unsigned().to_string()));
                r.maybe(&mut event, "droppedAttributesCount", |r| json!(r.small()));
                event
            };
            (0..r.below(3)).map(|_| event(r)).collect()
        });
        self.maybe(&mut span, "droppedEventsCount", |r| json!(r.small()));
        self.maybe(&mut span, "links", |r| {
            let link = |r: &mut Self| {
                let mut link = json!({ "traceId": r.hex(16), "spanId": r.hex(8), "attributes": r.attributes(2) });
                r.maybe(&mut link, "traceState", |r| json!(r.text()));
                r.maybe(&mut link, "droppedAttributesCount", |r| json!(r.small()));
                r.maybe(&mut link, "flags", |r| json!(r.small()));
                link
            };
            (0..r.below(3)).map(|_| link(r)).collect()
        });
        self.maybe(&mut span, "droppedLinksCount", |r| json!(r.small()));
        self.maybe(&mut span, "status", |r| {
            let mut status = json!({ "code": r.below(3) });
            r.maybe(&mut status, "message", |r| json!(r.text()));
            status
        });
        span
    }

    fn exemplars(&mut self) -> Json {
        let exemplar = |r: &mut Self| {
            let mut exemplar = json!({ "filteredAttributes": r.attributes(1) });
            r.maybe(&mut exemplar, "timeUnixNano", |r| json!(r.unsigned().to_string()));
            r.maybe(&mut exemplar, "traceId", |r| json!(r.hex(16)));
            r.maybe(&mut exemplar, "spanId", |r| json!(r.hex(8)));
            r.number(&mut exemplar);
            exemplar
        };
        (0..self.below(3)).map(|_| exemplar(self)).collect()
    }

    fn number(&mut self, object: &mut Json) {
        match self.below(3) {
            0 => object["asInt"] = json!(self.signed().to_string()),
            1 => object["asDouble"] = self.double(),
            _ => {}
        }
    }

    fn counts(&mut self, length: usize) -> Json {
        (0..length).map(|_| json!(self.unsigned().to_string())).collect()
    }

    fn point(&mut self, kind: &str) -> Json {
        let mut point = json!({ "attributes": self.attributes(2) });
        self.maybe(&mut point, "startTimeUnixNano", |r| json!(r.unsigned().to_string()));
        self.maybe(&mut point, "timeUnixNano", |r| json!(r.unsigned().to_string()));
        self.maybe(&mut point, "flags", |r| json!(r.small()));
        if kind != "summary" {
            self.maybe(&mut point, "exemplars", Self::exemplars);
        }
        if kind == "gauge" || kind == "sum" {
            self.number(&mut point);
            return point;
        }
        self.maybe(&mut point, "count", |r| json!(r.unsigned().to_string()));
        self.maybe(&mut point, "sum", Self::double);
        if kind == "summary" {
            self.maybe(&mut point, "quantileValues", |r| {
                (0..r.below(3)).map(|_| json!({ "quantile": r.double(), "value": r.double() })).collect()
            });
            return point;
        }
        self.maybe(&mut point, "min", Self::double);
        self.maybe(&mut point, "max", Self::double);
        if kind == "histogram" {
            let bounds = self.below(4);
            point["explicitBounds"] = (0..bounds).map(|bound| json!(bound as f64 * 2.5 - 1.0)).collect();
            let buckets = if bounds == 0 { self.below(2) } else { bounds + 1 };
            point["bucketCounts"] = self.counts(buckets);
            return point;
        }
        self.maybe(&mut point, "scale", |r| json!(r.below(40) as i32 - 20));
        self.maybe(&mut point, "zeroCount", |r| json!(r.unsigned().to_string()));
        self.maybe(&mut point, "zeroThreshold", Self::double);
        for side in ["positive", "negative"] {
            self.maybe(&mut point, side, |r| {
                let buckets = r.below(4);
                json!({ "offset": r.below(9) as i32 - 4, "bucketCounts": r.counts(buckets) })
            });
        }
        point
    }

    fn metric(&mut self) -> Json {
        let kind = ["gauge", "sum", "histogram", "exponentialHistogram", "summary"][self.below(5)];
        let points: Vec<Json> = (0..=self.below(3)).map(|_| self.point(kind)).collect();
        let mut data = json!({ "dataPoints": points });
        if !matches!(kind, "gauge" | "summary") {
            data["aggregationTemporality"] = json!(self.below(3));
        }
        if kind == "sum" {
            data["isMonotonic"] = json!(self.0.random::<bool>());
        }
        let mut metric = json!({ "name": self.text(), kind: data });
        self.maybe(&mut metric, "description", |r| json!(r.text()));
        self.maybe(&mut metric, "unit", |r| json!(r.text()));
        self.maybe(&mut metric, "metadata", |r| r.attributes(1));
        metric
    }

    fn message(&mut self, signal: Signal) -> Json {
        let (resources, scopes, records) = names(signal);
        let resource = |r: &mut Self| {
            let scope = |r: &mut Self| {
                let record = |r: &mut Self| match signal {
                    Signal::Logs => r.log(),
                    Signal::Spans => r.span(),
                    Signal::MetricPoints => r.metric(),
                };
                let mut scope = json!({ records: (0..=r.below(4)).map(|_| record(r)).collect::<Vec<_>>() });
                r.maybe(&mut scope, "schemaUrl", |r| json!(r.text()));
                r.maybe(&mut scope, "scope", |r| {
                    let dropped = r.small();
                    json!({ "name": r.text(), "version": r.text(), "attributes": r.attributes(2), "droppedAttributesCount": dropped })
                });
                scope
            };
            let mut resource = json!({ scopes: (0..=r.below(2)).map(|_| scope(r)).collect::<Vec<_>>() });
            r.maybe(&mut resource, "schemaUrl", |r| json!(r.text()));
            r.maybe(&mut resource, "resource", |r| {
                let dropped = r.small();
                json!({ "attributes": r.attributes(3), "droppedAttributesCount": dropped })
            });
            resource
        };
        json!({ resources: (0..=self.below(3)).map(|_| resource(self)).collect::<Vec<_>>() })
    }
}

/// The members of a message that hold resources, scopes and records.
const fn names(signal: Signal) -> (&'static str, &'static str, &'static str) {
    match signal {
        Signal::Logs => ("resourceLogs", "scopeLogs", "logRecords"),
        Signal::Spans => ("resourceSpans", "scopeSpans", "spans"),
        Signal::MetricPoints => ("resourceMetrics", "scopeMetrics", "metrics"),
    }
}

/// Members whose default means something: those of a oneof, and those that may be absent.
const PRESENT: &[&str] = &[
    "stringValue",
    "boolValue",
    "intValue",
    "doubleValue",
    "bytesValue",
    "arrayValue",
    "kvlistValue",
    "asInt",
    "asDouble",
    "min",
    "max",
    "value",
    "key",
    "gauge",
    "sum",
    "histogram",
    "exponentialHistogram",
    "summary",
];

/// The message less what is its default, members and attributes in the order of their names.
fn plain(json: &Json) -> Json {
    match json {
        Json::Array(items) => items.iter().map(plain).collect(),
        Json::Object(members) => {
            let mut kept: Vec<(String, Json)> =
                members.iter().map(|(name, value)| (name.clone(), plain(value))).collect();
            for (_, attributes) in kept.iter_mut().filter(|(name, _)| name == "attributes") {
                attributes.as_array_mut().expect("list").sort_by_key(|entry| entry["key"].as_str().map(str::to_owned));
            }
            let is_quantile = members.contains_key("quantile") || members.contains_key("value") && members.len() == 1;
            kept.retain(|(name, value)| PRESENT.contains(&name.as_str()) && !is_quantile || !is_default(value));
            kept.sort_by(|left, right| left.0.cmp(&right.0));
            Json::Object(kept.into_iter().collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

fn is_default(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Bool(flag) => !flag,
        // The other zero is another number.
        Json::Number(number) => number.as_f64().is_some_and(|number| number.to_bits() == 0),
        Json::String(text) => text.is_empty() || text == "0",
        Json::Array(items) => items.is_empty(),
        Json::Object(members) => members.is_empty(),
    }
}

fn list<'a>(object: &'a Json, name: &str) -> impl Iterator<Item = &'a Json> {
    object[name].as_array().into_iter().flatten()
}

/// Every record with all that surrounds it, as text, sorted.
fn records(messages: &[Json], signal: Signal) -> Vec<String> {
    let (resources, scopes, records) = names(signal);
    let mut found = Vec::new();
    for resource in messages.iter().flat_map(|message| list(message, resources)) {
        for scope in list(resource, scopes) {
            for record in list(scope, records) {
                let around = json!([resource["resource"], resource["schemaUrl"], scope["scope"], scope["schemaUrl"]]);
                let around: Vec<Json> = list(&json!({ "a": around }), "a")
                    .map(|item| if is_default(&plain(item)) { Json::Null } else { plain(item) })
                    .collect();
                let mut take =
                    |record: Json| found.push(plain(&json!({ "around": around, "record": record })).to_string());
                if signal != Signal::MetricPoints {
                    take(record.clone());
                    continue;
                }
                let kinds = ["gauge", "sum", "histogram", "exponentialHistogram", "summary"];
                let kind = kinds.into_iter().find(|kind| record[kind].is_object()).expect("a metric has data");
                for point in list(&record[kind], "dataPoints") {
                    let mut point = point.clone();
                    // Of a summary the sum is not optional.
                    if kind == "summary" && is_default(&point["sum"]) {
                        point.as_object_mut().expect("object").remove("sum");
                    }
                    let mut alone = record.clone();
                    alone[kind]["dataPoints"] = json!([point]);
                    take(alone);
                }
            }
        }
    }
    found.sort();
    found
}

async fn exported(store: &Arc<Store>, signal: Signal) -> Vec<String> {
    let service = QueryService::new(Arc::clone(store), QuerySettings::default());
    let request = ExportRequest { signal, query: String::new(), range: TimeRange::ALL, format: ExportFormat::Otlp };
    let mut pieces = std::pin::pin!(service.export(&request).expect("exports"));
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece.expect("reads"));
    }
    let text = String::from_utf8(bytes).expect("text");
    let messages: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    records(&messages, signal)
}

async fn check(store: &Arc<Store>, sent: &[Vec<Json>; 3], when: &str) {
    for signal in Signal::ALL {
        let (expected, found) = (records(&sent[signal as usize], signal), exported(store, signal).await);
        for (expected, found) in expected.iter().zip(&found) {
            assert_eq!(found, expected, "{signal:?} {when}");
        }
        assert_eq!(found.len(), expected.len(), "{signal:?} {when}");
    }
}

/// The message with a record of 1970: parts of one day are merged.
fn on_the_first_day(mut message: Json, signal: Signal) -> Json {
    let (resources, scopes, records) = names(signal);
    let record = &mut message[resources][0][scopes][0][records][0];
    let time = if signal == Signal::Spans { "startTimeUnixNano" } else { "timeUnixNano" };
    let kinds = ["gauge", "sum", "histogram", "exponentialHistogram", "summary"];
    match kinds.into_iter().find(|kind| record[kind].is_object()) {
        Some(kind) => record[kind]["dataPoints"][0][time] = json!("5"),
        None => record[time] = json!("5"),
    }
    message
}

async fn round_trip(seed: u64) {
    let mut random = Random(StdRng::seed_from_u64(seed));
    let folder = tempfile::tempdir().expect("folder");
    let config = StoreConfig {
        data_dir: folder.path().to_path_buf(),
        seal_age: Duration::from_hours(1),
        disk_reserve_bytes: 0,
        ..StoreConfig::default()
    };
    let correlation = Correlation::new(CorrelationConfig::default());
    let mut sent: [Vec<Json>; 3] = Default::default();
    let mut store = Store::open(config.clone()).await.expect("open");
    for number in 0..2 * MESSAGES {
        for signal in Signal::ALL {
            let message = on_the_first_day(random.message(signal), signal);
            let decoded = decode_json(signal, message.to_string().as_bytes(), ARRIVAL, &correlation)
                .unwrap_or_else(|error| panic!("{error}: {message}"));
            assert_eq!(decoded.rejected, 0, "{}: {message}", decoded.message);
            store.append(decoded.batch).await.expect("append");
            sent[signal as usize].push(message);
        }
        if number + 1 == MESSAGES {
            check(&store, &sent, "hot").await;
            store.close().await.expect("close");
            drop(store);
            store = Store::open(config.clone()).await.expect("open again");
            check(&store, &sent, "from the journal").await;
        }
        if number + 1 >= MESSAGES {
            store.flush().await.expect("flush");
        }
        if number + 1 == MESSAGES {
            assert!(store.status().tables.iter().all(|table| table.parts == 1 && table.hot_rows == 0));
            check(&store, &sent, "sealed").await;
        }
    }
    store.compact_all().await.expect("merge");
    assert!(store.status().merged_parts >= 3 * 8, "{} parts were merged", store.status().merged_parts);
    check(&store, &sent, "merged").await;
    store.close().await.expect("close");
}

#[test]
fn random_messages_come_out_as_they_went_in() {
    let number =
        |variable: &str, default| std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let first: u64 = number("MANGRU_TEST_SEED", 1);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
    for seed in first..first + number("MANGRU_TEST_ROUND_TRIPS", ROUND_TRIPS) {
        println!("seed {seed}");
        runtime.block_on(round_trip(seed));
    }
}
