//! The stack's figures about itself, kept as metrics of the service `mangru`, so that they can be asked and drawn like all
//! others. They are those of `/metrics`, sent to this process' own OTLP receiver.

use crate::figures::{Family, Kind, figures};
use mangru_query::QueryService;
use serde_json::{Value as Json, json};
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
pub(crate) fn start(every: Duration, receiver: &str, query: Arc<QueryService>, intake: Arc<Intake>) -> Itself {
    let address = format!("http://{receiver}/v1/metrics");
    let task = tokio::spawn(async move {
        let client = reqwest::Client::new();
        let started = now_ns();
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // As long as nothing else came in, the screens tell how to send something.
            let status = query.store().status();
            let is_empty = status.tables.iter().all(|table| table.part_rows == 0 && table.hot_rows == 0);
            if is_empty {
                continue;
            }
            let body = request(&figures(&query, &intake()), started, now_ns());
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

/// Figures as a request of OTLP.
fn request(families: &[Family], started: u128, now: u128) -> Json {
    let text = |key: &str, value: &str| json!({ "key": key, "value": { "stringValue": value } });
    let metric = |family: &Family| {
        let points: Vec<Json> = family
            .samples
            .iter()
            .map(|(labels, value)| {
                json!({
                    "startTimeUnixNano": started.to_string(),
                    "timeUnixNano": now.to_string(),
                    "asDouble": *value as f64,
                    "attributes": labels.iter().map(|(name, value)| text(name, value)).collect::<Vec<_>>(),
                })
            })
            .collect();
        let name = family.name;
        let unit = if name.ends_with("_bytes") || name.ends_with("_bytes_total") { "By" } else { "" };
        let mut metric = json!({ "name": name, "description": family.help, "unit": unit });
        match family.kind {
            Kind::Counter => {
                metric["sum"] = json!({ "dataPoints": points, "aggregationTemporality": 2, "isMonotonic": true });
            }
            Kind::Gauge => metric["gauge"] = json!({ "dataPoints": points }),
        }
        metric
    };
    let metrics: Vec<Json> = families.iter().filter(|family| !family.samples.is_empty()).map(metric).collect();
    json!({ "resourceMetrics": [{
        "resource": { "attributes": [text("service.name", "mangru"), text("service.version", env!("CARGO_PKG_VERSION"))] },
        "scopeMetrics": [{ "scope": { "name": "mangru" }, "metrics": metrics }],
    }] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_become_sums_and_gauges() {
        let family = |name, kind, samples| Family { name, kind, help: "How many.", samples };
        let labels = vec![("table", "logs".to_owned()), ("why", "a \"b\", c".to_owned())];
        let request = request(
            &[
                family("a_total", Kind::Counter, vec![(labels, 7)]),
                family("none_total", Kind::Counter, Vec::new()),
                family("b_bytes", Kind::Gauge, vec![(Vec::new(), 12)]),
            ],
            1,
            2,
        );
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
