//! What evaluating many rules costs: a server of its own with a file of rules, fed with metrics, watched for a while.

use super::process::Server;
use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::{Value as Json, json};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// How many rules over how much.
#[derive(Args, Clone)]
pub(crate) struct RulesFlags {
    /// Rules, a hundred in a group.
    #[arg(long, default_value_t = 10_000)]
    rules: usize,
    /// Series that they ask for, each with a point every 15 s.
    #[arg(long, default_value_t = 1_000)]
    series: usize,
    /// Seconds between evaluations.
    #[arg(long, default_value_t = 60)]
    interval: u64,
    /// Seconds to watch.
    #[arg(long, default_value_t = 150)]
    watch: u64,
}

/// Seconds between points.
const EVERY: u64 = 15;

/// `mangru bench rules`.
pub(crate) async fn run(flags: RulesFlags) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let rules = folder.path().join("rules.yml");
    std::fs::write(&rules, file(&flags))?;
    let server = Server::start_with(folder.path(), &[("MANGRU_ALERTS_RULES", &rules.display().to_string())]).await?;
    let client = reqwest::Client::new();
    let now = mangru_query::now_ns() as u64;
    // Ten minutes of the past, so that rates have something to look at from the start.
    for back in (0..600 / EVERY).rev() {
        feed(&client, &server.http, &flags, now - back * EVERY * 1_000_000_000).await?;
    }
    let before = server.usage()?;
    let started = Instant::now();
    let mut fed = Instant::now();
    while started.elapsed() < Duration::from_secs(flags.watch) {
        if fed.elapsed() >= Duration::from_secs(EVERY) {
            fed += Duration::from_secs(EVERY);
            feed(&client, &server.http, &flags, mangru_query::now_ns() as u64).await?;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let seconds = started.elapsed().as_secs_f64();
    let after = server.usage()?;
    let answer: Json =
        client.get(format!("{}/api/v1/rules?exclude_alerts=true", server.ui)).send().await?.json().await?;
    let groups = answer["data"]["groups"].as_array().context("no groups")?;
    let sum = |key: &str| -> u64 { groups.iter().filter_map(|group| group[key].as_u64()).sum() };
    let (evaluations, missed) = (sum("evaluations"), sum("missedEvaluations"));
    let all: Vec<&Json> = groups.iter().flat_map(|group| group["rules"].as_array().into_iter().flatten()).collect();
    let wrong = all.iter().find(|rule| rule["health"] == "err");
    if let Some(rule) = wrong {
        bail!("a rule failed: {rule}");
    }
    let slowest = groups.iter().filter_map(|group| group["evaluationTime"].as_f64()).fold(0.0, f64::max);
    let firing = all.iter().filter(|rule| rule["state"] == "firing").count();
    println!("{} rules in {} groups over {} series, every {} s", all.len(), groups.len(), flags.series, flags.interval);
    println!("{evaluations} evaluations of groups in {seconds:.0} s, {missed} missed; {firing} rules fire");
    println!("slowest newest evaluation {:.0} ms", slowest * 1000.0);
    let cores = (after.cpu_seconds - before.cpu_seconds) / seconds;
    println!("{cores:.2} cores, peak {:.0} MiB", after.peak_mib);
    Ok(())
}

/// The rules: rates, ratios, averages and thresholds, each over a few of the series.
fn file(flags: &RulesFlags) -> String {
    let mut text = String::from("groups:\n");
    for rule in 0..flags.rules {
        if rule % 100 == 0 {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "- name: group-{}\n  interval: {}s\n  rules:", rule / 100, flags.interval);
        }
        let metric = rule % (flags.series / 10).max(1);
        let expr = match rule % 4 {
            0 => format!("rate(bench_requests_{metric}_total[5m]) > 100"),
            1 => format!("sum by (shard) (rate(bench_requests_{metric}_total[5m])) > {}", rule % 7),
            2 => format!("avg_over_time(bench_requests_{metric}_total{{shard=\"3\"}}[5m]) < -1"),
            _ => format!("absent(bench_requests_{metric}_total)"),
        };
        let _ = writeln!(text, "  - {{alert: Rule{rule}, expr: '{expr}', for: 2m, labels: {{severity: page}}}}");
    }
    text
}

/// One point of each series.
async fn feed(client: &reqwest::Client, http: &str, flags: &RulesFlags, time: u64) -> anyhow::Result<()> {
    let metrics: Vec<Json> = (0..(flags.series / 10).max(1))
        .map(|metric| {
            let points: Vec<Json> = (0..10)
                .map(|shard| {
                    json!({
                        "attributes": [{ "key": "shard", "value": { "stringValue": shard.to_string() } }],
                        "startTimeUnixNano": "1",
                        "timeUnixNano": time.to_string(),
                        "asInt": (time / 1_000_000_000 % 1_000_000 * (shard + 1)).to_string(),
                    })
                })
                .collect();
            let sum = json!({ "aggregationTemporality": 2, "isMonotonic": true, "dataPoints": points });
            json!({ "name": format!("bench.requests.{metric}"), "sum": sum })
        })
        .collect();
    let resource = json!({ "attributes": [{ "key": "service.name", "value": { "stringValue": "bench" } }] });
    let body = json!({ "resourceMetrics": [{ "resource": resource, "scopeMetrics": [{ "metrics": metrics }] }] });
    let request = client.post(format!("http://{http}/v1/metrics")).header("content-type", "application/json");
    let response = request.body(body.to_string()).send().await?;
    if !response.status().is_success() {
        bail!("the server answered {}", response.status());
    }
    Ok(())
}
