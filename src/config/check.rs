//! Whether the settings can be used, each alone and all together. Everything that is wrong is told at once.

use super::{Given, Settings, address};
use anyhow::bail;
use mangru_store::Memory;
use std::fmt::Write as _;

/// A fault: the key, and what is wrong with its value.
type Fault = (&'static str, String);

impl Given {
    /// Gives the settings when all of them can be used.
    pub(crate) fn checked(self) -> anyhow::Result<Settings> {
        let settings = &self.settings;
        let mut faults = Vec::new();
        faults.extend(out_of_range(settings));
        faults.extend(wrong_texts(settings));
        faults.extend(contradictions(settings));
        if faults.is_empty() {
            return Ok(self.settings);
        }
        let mut text = String::new();
        for (key, fault) in faults {
            let place = self.places.get(key).map(|place| format!("{place}: ")).unwrap_or_default();
            let _ = write!(text, "\n  {place}{fault}");
        }
        bail!("the configuration cannot be used:{text}");
    }
}

fn out_of_range(settings: &Settings) -> Vec<Fault> {
    let Settings { otlp, store, objects, retention, query, alerts, .. } = settings;
    let ranges: [(&str, u64, u64, u64); 29] = [
        ("self_metrics_seconds", settings.self_metrics_seconds, 0, 3600),
        ("otlp.max_grpc_mib", otlp.max_grpc_mib as u64, 1, 1024),
        ("otlp.max_http_mib", otlp.max_http_mib as u64, 1, 1024),
        ("otlp.max_concurrent_requests", otlp.max_concurrent_requests as u64, 1, 100_000),
        ("otlp.max_in_flight_mib", otlp.max_in_flight_mib as u64, 1, 65_536),
        ("store.seal_rows", store.seal_rows as u64, 1, 4_000_000),
        ("store.seal_mib", store.seal_mib as u64, 1, 4096),
        ("store.seal_seconds", store.seal_seconds, 1, 86_400),
        ("store.journal_mib", store.journal_mib, 16, 1 << 20),
        ("store.memory_mib", store.memory_mib as u64, 0, 1 << 20),
        ("store.ingest_mib", store.ingest_mib as u64, 16, 1 << 20),
        ("store.disk_reserve_mib", store.disk_reserve_mib, 0, 1 << 20),
        ("objects.local_hours", objects.local_hours, 0, 876_000),
        ("objects.local_gib", objects.local_gib, 0, 1 << 20),
        ("objects.cache_mib", objects.cache_mib, 16, 1 << 20),
        ("retention.logs_days", retention.logs_days, 0, 36_500),
        ("retention.spans_days", retention.spans_days, 0, 36_500),
        ("retention.metrics_days", retention.metrics_days, 0, 36_500),
        ("retention.logs_gib", retention.logs_gib, 0, 1 << 20),
        ("retention.spans_gib", retention.spans_gib, 0, 1 << 20),
        ("retention.metrics_gib", retention.metrics_gib, 0, 1 << 20),
        ("query.deadline_seconds", query.deadline_seconds, 1, 3600),
        ("query.memory_mib", query.memory_mib as u64, 0, 65_536),
        ("query.concurrency", query.concurrency as u64, 1, 1000),
        ("query.max_limit", query.max_limit as u64, 1, 1_000_000),
        ("query.slow_ms", query.slow_ms, 1, 3_600_000),
        ("alerts.interval_seconds", alerts.interval_seconds, 1, 86_400),
        ("alerts.offset_seconds", alerts.offset_seconds, 0, 3600),
        ("alerts.history_days", alerts.history_days, 1, 3650),
    ];
    ranges
        .into_iter()
        .filter(|(_, value, low, high)| !(low..=high).contains(&value))
        .map(|(key, value, low, high)| (key, format!("{key} is {value}, allowed are {low} to {high}")))
        .collect()
}

fn wrong_texts(settings: &Settings) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (key, text) in addresses(settings) {
        if let Err(error) = address(key, text) {
            faults.push((key, error.to_string()));
        }
    }
    if let Err(error) = settings.body_pattern() {
        faults.push(("correlation.body_pattern", format!("{error:#}")));
    }
    let objects = &settings.objects;
    if let Some(url) = objects.url.as_deref().filter(|url| !url.starts_with("s3://") || url.len() < 6) {
        faults.push(("objects.url", format!("objects.url is `{url}`, not s3://bucket or s3://bucket/folder")));
    }
    if let Some(address) = &objects.endpoint {
        if !address.starts_with("http://") && !address.starts_with("https://") {
            let fault = format!("objects.endpoint is `{address}`, not an address such as http://127.0.0.1:9000");
            faults.push(("objects.endpoint", fault));
        }
        if objects.url.is_none() {
            faults.push(("objects.endpoint", "objects.endpoint is set, but objects.url is not".to_owned()));
        }
    }
    if let Some(url) = &settings.alerts.external_url
        && !url.starts_with("http://")
        && !url.starts_with("https://")
    {
        let fault = format!("alerts.external_url is `{url}`, not an address such as https://mangru.example.org");
        faults.push(("alerts.external_url", fault));
    }
    for key in &settings.correlation.keys {
        if key.trim_end_matches('*').is_empty() || key.trim_end_matches('*').contains('*') {
            let fault = format!("correlation.keys holds `{key}`: a key, or the beginning of one and `*`");
            faults.push(("correlation.keys", fault));
        }
    }
    for origin in &settings.otlp.cors_origins {
        if origin != "*" && !origin.starts_with("http://") && !origin.starts_with("https://") {
            let fault =
                format!("otlp.cors_origins holds `{origin}`: `*`, or a page's origin such as https://shop.example");
            faults.push(("otlp.cors_origins", fault));
        }
    }
    faults
}

fn contradictions(settings: &Settings) -> Vec<Fault> {
    let Settings { otlp, store, .. } = settings;
    let mut faults = Vec::new();
    let taken = addresses(settings);
    for (index, (key, text)) in taken.iter().enumerate() {
        let earlier = taken[..index].iter().find(|(_, other)| other == text);
        if let Some((other, _)) = earlier
            && address(key, text).is_ok_and(|address| address.port() != 0)
        {
            faults.push((*key, format!("{key} is {text}, which {other} is already")));
        }
    }
    // A request that never fits would be sent again for ever.
    for (key, mib) in [("otlp.max_grpc_mib", otlp.max_grpc_mib), ("otlp.max_http_mib", otlp.max_http_mib)] {
        if mib > otlp.max_in_flight_mib {
            let all = otlp.max_in_flight_mib;
            faults.push((key, format!("{key} is {mib}, more than otlp.max_in_flight_mib, {all}, lets in")));
        }
        if mib * 2 > store.ingest_mib {
            let all = store.ingest_mib;
            faults.push((key, format!("{key} is {mib}, more than half of store.ingest_mib, {all}")));
        }
    }
    if store.seal_mib >= store.ingest_mib {
        let (seal, memory) = (store.seal_mib, store.ingest_mib);
        let fault = format!("store.seal_mib is {seal}, not less than store.ingest_mib, {memory}: senders would wait");
        faults.push(("store.seal_mib", fault));
    }
    let least = Memory::least(store.ingest_mib << 20, store.seal_mib << 20).div_ceil(1 << 20);
    if (1..least).contains(&store.memory_mib) {
        let (memory, ingest, seal) = (store.memory_mib, store.ingest_mib, store.seal_mib);
        let fault = format!(
            "store.memory_mib is {memory}, but store.ingest_mib of {ingest} and sealing {seal} MiB take {least} at least"
        );
        faults.push(("store.memory_mib", fault));
    }
    faults
}

fn addresses(settings: &Settings) -> [(&'static str, &str); 3] {
    [("otlp.grpc", &settings.otlp.grpc), ("otlp.http", &settings.otlp.http), ("http", &settings.http)]
}

#[cfg(test)]
mod tests {
    use crate::config::load;
    use std::collections::BTreeMap;

    fn faults(file: &str, variables: &[(&str, &str)]) -> String {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("mangru.yaml");
        std::fs::write(&path, file).expect("write");
        let variables: BTreeMap<String, String> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        load(Some(&path), &variables).expect("readable").checked().expect_err("faults").to_string()
    }

    #[test]
    fn all_faults_are_told_at_once_each_with_its_place() {
        let text = faults("http: nowhere\nquery:\n  concurrency: 0\n", &[("MANGRU_STORE_SEAL_ROWS", "0")]);
        assert!(text.contains("mangru.yaml:1: http is `nowhere`"), "{text}");
        assert!(text.contains("mangru.yaml:3: query.concurrency is 0, allowed are 1 to 1000"), "{text}");
        assert!(text.contains("MANGRU_STORE_SEAL_ROWS: store.seal_rows is 0"), "{text}");
    }

    #[test]
    fn values_that_contradict_each_other_are_told() {
        let text = faults(
            "http: 127.0.0.1:4317\notlp:\n  max_http_mib: 100\n  cors_origins: [shop.example]\nstore:\n  seal_mib: 4000\n\
             correlation:\n  keys: [\"*\", \"a*b\"]\n  body_pattern: \"no group\"\n",
            &[],
        );
        for fault in [
            "mangru.yaml:1: http is 127.0.0.1:4317, which otlp.grpc is already",
            "mangru.yaml:3: otlp.max_http_mib is 100, more than otlp.max_in_flight_mib",
            "mangru.yaml:3: otlp.max_http_mib is 100, more than half of store.ingest_mib",
            "otlp.cors_origins holds `shop.example`",
            "mangru.yaml:6: store.seal_mib is 4000, not less than store.ingest_mib",
            "correlation.keys holds `*`",
            "correlation.keys holds `a*b`",
            "correlation.body_pattern has 0 groups",
        ] {
            assert!(text.contains(fault), "{fault} is not in {text}");
        }
    }

    #[test]
    fn the_defaults_can_be_used() {
        load(None, &BTreeMap::new()).expect("readable").checked().expect("no faults");
    }
}
