//! The stack's figures about itself, kept as metrics of the service `mangru`, so that they can be asked and drawn like all
//! others. They are those of `/metrics`, sent to this process' own OTLP receiver.

use crate::health;
use mangru_store::Store;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::task::JoinHandle;

type Intake = dyn Fn() -> Json + Send + Sync;

/// The task that sends; it ends when it is dropped.
pub(crate) struct Itself {
    task: JoinHandle<()>,
}

impl Drop for Itself {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Sends the figures each so often to the receiver of OTLP over HTTP at this address.
pub(crate) fn start(every: Duration, receiver: &str, store: Arc<Store>, intake: Arc<Intake>) -> Itself {
    let address = format!("http://{receiver}/v1/metrics");
    let task = tokio::spawn(async move {
        let client = reqwest::Client::new();
        let started = now_ns();
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // As long as nothing else came in, the screens tell how to send something.
            let is_empty = store.status().tables.iter().all(|table| table.part_rows == 0 && table.hot_rows == 0);
            if is_empty {
                continue;
            }
            let body = request(&health::metrics(&store, &intake()), started, now_ns());
            let sent = client.post(&address).timeout(every).json(&body).send().await;
            // A process that refuses others for want of room refuses itself too: the next figures tell of it.
            match sent.and_then(reqwest::Response::error_for_status) {
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "figures of this process were not kept"),
            }
        }
    });
    Itself { task }
}

fn now_ns() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos())
}

/// The text format of Prometheus as a request of OTLP.
fn request(text: &str, started: u128, now: u128) -> Json {
    let mut help: BTreeMap<&str, &str> = BTreeMap::new();
    let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
    let mut points: BTreeMap<&str, Vec<Json>> = BTreeMap::new();
    for line in text.lines() {
        if let Some((name, words)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            help.insert(name, words);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            kinds.insert(name, kind);
        } else if let Some((series, value)) = line.rsplit_once(' ') {
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let Ok(value) = value.parse::<f64>() else { continue };
            points.entry(name).or_default().push(json!({
                "startTimeUnixNano": started.to_string(),
                "timeUnixNano": now.to_string(),
                "asDouble": value,
                "attributes": attributes(labels.trim_end_matches('}')),
            }));
        }
    }
    let metrics: Vec<Json> = points
        .into_iter()
        .map(|(name, points)| {
            let unit = if name.ends_with("_bytes") || name.ends_with("_bytes_total") { "By" } else { "" };
            let description = help.get(name).copied().unwrap_or_default();
            if kinds.get(name) == Some(&"counter") {
                let sum = json!({ "dataPoints": points, "aggregationTemporality": 2, "isMonotonic": true });
                json!({ "name": name, "description": description, "unit": unit, "sum": sum })
            } else {
                json!({ "name": name, "description": description, "unit": unit, "gauge": { "dataPoints": points } })
            }
        })
        .collect();
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    json!({ "resourceMetrics": [{
        "resource": { "attributes": [text("service.name", "mangru"), text("service.version", env!("CARGO_PKG_VERSION"))] },
        "scopeMetrics": [{ "scope": { "name": "mangru" }, "metrics": metrics }],
    }] })
}

/// `a="x",b="y"` as attributes.
fn attributes(labels: &str) -> Vec<Json> {
    let mut found = Vec::new();
    let mut rest = labels;
    while let Some((name, behind)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut chars = behind.char_indices();
        let mut end = behind.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, other)) => value.push(other),
                    None => {}
                },
                '"' => {
                    end = at + 1;
                    break;
                }
                c => value.push(c),
            }
        }
        found.push(json!({ "key": name.trim_start_matches(','), "value": { "stringValue": value } }));
        rest = &behind[end..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_format_becomes_sums_and_gauges() {
        let text = "# HELP a_total How many.\n# TYPE a_total counter\na_total{table=\"logs\",why=\"a \\\"b\\\", c\"} 7\n# HELP b_bytes Size.\n# TYPE b_bytes gauge\nb_bytes 12\n";
        let request = request(text, 1, 2);
        let metrics = &request["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
        let point = &metrics[0]["sum"]["dataPoints"][0];
        assert_eq!((metrics[0]["name"].as_str(), point["asDouble"].as_f64()), (Some("a_total"), Some(7.0)));
        assert_eq!(point["attributes"][1]["key"], "why");
        assert_eq!(point["attributes"][1]["value"]["stringValue"], "a \"b\", c");
        assert_eq!(
            (metrics[1]["unit"].as_str(), metrics[1]["gauge"]["dataPoints"][0]["asDouble"].as_f64()),
            (Some("By"), Some(12.0))
        );
    }
}
