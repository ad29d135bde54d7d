//! The figures of the process itself: what `/metrics` shows and what it sends to itself.

use mangru_query::QueryService;
use mangru_store::TableStatus;
use serde_json::Value as Json;
use std::fmt::Write as _;

/// What a figure does over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only grows while the process runs.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// Labels of a sample: names with values.
pub(crate) type Labels = Vec<(&'static str, String)>;

/// Samples of one name.
#[derive(Clone, Debug)]
pub(crate) struct Family {
    /// The name.
    pub(crate) name: &'static str,
    /// What it does over time.
    pub(crate) kind: Kind,
    /// What it is, in a sentence.
    pub(crate) help: &'static str,
    /// Values by labels.
    pub(crate) samples: Vec<(Labels, u64)>,
}

/// A figure of each table: its name, kind and help, and where it stands.
type OfTable = (&'static str, Kind, &'static str, fn(&TableStatus) -> u64);

/// The store's, the queries' and the collector's figures.
pub(crate) fn figures(query: &QueryService, intake: &Json) -> Vec<Family> {
    use Kind::{Counter, Gauge};
    let status = query.store().status();
    let mut all = Vec::new();
    let by_table: [OfTable; 6] = [
        ("mangru_parts", Gauge, "Published parts.", |table| table.parts as u64),
        ("mangru_part_rows", Gauge, "Rows in parts.", |table| table.part_rows),
        ("mangru_part_bytes", Gauge, "Bytes of part files.", |table| table.part_bytes),
        ("mangru_hot_rows", Gauge, "Rows not yet sealed.", |table| table.hot_rows),
        ("mangru_hot_bytes", Gauge, "Memory of rows not yet sealed.", |table| table.hot_bytes),
        ("mangru_appended_rows_total", Counter, "Rows made durable since start.", |table| table.appended_rows),
    ];
    for (name, kind, help, value) in by_table {
        let sample = |table: &TableStatus| (vec![("table", table.signal.table().to_owned())], value(table));
        all.push(Family { name, kind, help, samples: status.tables.iter().map(sample).collect() });
    }
    let mut one = vec![
        ("mangru_journal_bytes", Gauge, "Bytes of journal segments.", status.journal_bytes),
        ("mangru_journal_commits_total", Counter, "Group commits since start.", status.commits),
        ("mangru_failed_seals_total", Counter, "Seals that failed and were tried again.", status.failed_seals),
        ("mangru_merged_parts_total", Counter, "Parts that went into others.", status.merged_parts),
        ("mangru_failed_merges_total", Counter, "Merges that failed and were tried again.", status.failed_merges),
        ("mangru_expired_rows_total", Counter, "Rows that retention took away.", status.expired_rows),
        (
            "mangru_damaged_parts",
            Gauge,
            "Parts whose checksum is wrong, or whose file is gone.",
            status.damaged_parts.len() as u64,
        ),
        ("mangru_unknown_parts", Gauge, "Part files that the catalog did not know at the start.", status.unknown_parts),
        ("mangru_memory_used_bytes", Gauge, "Memory taken from the budget.", status.memory_used_bytes as u64),
        ("mangru_ingest_memory_bytes", Gauge, "Of it, by requests and hot rows.", status.ingest_used_bytes as u64),
        ("mangru_query_memory_bytes", Gauge, "Of it, by queries.", status.query_used_bytes as u64),
        (
            "mangru_lost_statements",
            Gauge,
            "Statements of SQL that were ended and compute on all the same.",
            query.lost_statements() as u64,
        ),
    ];
    if let Some(objects) = &status.objects {
        one.extend([
            ("mangru_remote_parts", Gauge, "Parts in the object store.", objects.parts as u64),
            ("mangru_remote_part_bytes", Gauge, "Their bytes.", objects.bytes),
            ("mangru_moved_parts_total", Counter, "Parts moved into the object store.", objects.moved_parts),
            ("mangru_failed_moves_total", Counter, "Rounds of moving that failed.", objects.failed_moves),
            ("mangru_cache_bytes", Gauge, "Bytes of remote parts on the local disk.", objects.cached_bytes),
            ("mangru_cache_hits_total", Counter, "Reads that the local disk answered.", objects.cache_hits),
            ("mangru_cache_misses_total", Counter, "Reads that the object store answered.", objects.cache_misses),
        ]);
    }
    all.extend(one.into_iter().map(|(name, kind, help, value)| Family {
        name,
        kind,
        help,
        samples: vec![(Labels::new(), value)],
    }));
    all.extend(received(intake));
    all
}

/// What the collector counts, by signal and protocol.
fn received(intake: &Json) -> Vec<Family> {
    let protocols: &[Json] = intake["protocols"].as_array().map_or(&[], Vec::as_slice);
    let labels = |entry: &Json| -> Labels {
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        vec![("signal", text("signal")), ("protocol", text("protocol"))]
    };
    let members = [
        ("mangru_received_requests_total", "requests", "Requests answered with success."),
        ("mangru_received_rows_total", "rows", "Rows kept."),
        ("mangru_received_bytes_total", "bytes", "Bytes of kept requests."),
        ("mangru_rejected_rows_total", "rejected_rows", "Rows refused alone."),
    ];
    let family = |(name, member, help): (&'static str, &str, &'static str)| {
        let sample = |entry: &Json| (labels(entry), entry[member].as_u64().unwrap_or_default());
        Family { name, kind: Kind::Counter, help, samples: protocols.iter().map(sample).collect() }
    };
    let refused = protocols.iter().flat_map(|entry| {
        let reasons = entry["refused"].as_object().into_iter().flatten();
        reasons.map(move |(reason, count)| {
            let mut labels = labels(entry);
            labels.push(("reason", reason.clone()));
            (labels, count.as_u64().unwrap_or_default())
        })
    });
    let refused = Family {
        name: "mangru_refused_requests_total",
        kind: Kind::Counter,
        help: "Requests refused, by why.",
        samples: refused.collect(),
    };
    members.into_iter().map(family).chain([refused]).collect()
}

/// A label's value as the text format wants it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// Figures in Prometheus' text format.
pub(crate) fn text(families: &[Family]) -> String {
    let mut out = String::new();
    for family in families {
        let kind = if family.kind == Kind::Counter { "counter" } else { "gauge" };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "# HELP {0} {1}\n# TYPE {0} {kind}", family.name, family.help);
        for (labels, value) in &family.samples {
            let pairs: Vec<String> =
                labels.iter().map(|(name, text)| format!("{name}=\"{}\"", escaped(text))).collect();
            let labels = if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
            let _ = writeln!(out, "{}{labels} {value}", family.name);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_text_with_escaped_labels() {
        let labels = vec![("table", "logs".to_owned()), ("why", "a \"b\"\\\n".to_owned())];
        let family = |name, samples| Family { name, kind: Kind::Counter, help: "How many.", samples };
        let shown = text(&[family("a_total", vec![(labels, 7)]), family("b_total", vec![(Labels::new(), 1)])]);
        assert_eq!(
            shown,
            "# HELP a_total How many.\n# TYPE a_total counter\na_total{table=\"logs\",why=\"a \\\"b\\\"\\\\\\n\"} 7\n\
             # HELP b_total How many.\n# TYPE b_total counter\nb_total 1\n"
        );
    }

    #[test]
    fn what_the_collector_refused_is_told_by_its_reason() {
        let intake = serde_json::json!({ "protocols": [{
            "signal": "logs", "protocol": "otlp_http_json", "requests": 3, "rows": 9, "bytes": 100, "rejected_rows": 1,
            "refused": { "too_large": 2 },
        }] });
        let found = received(&intake);
        let refused = found.last().expect("the refused");
        assert_eq!(refused.samples.len(), 1);
        assert_eq!(refused.samples[0].0.last(), Some(&("reason", "too_large".to_owned())));
        assert_eq!((refused.samples[0].1, found[1].samples[0].1), (2, 9));
    }
}
