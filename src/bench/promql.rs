//! How long PromQL takes over many series.

use super::ingest::send;
use super::process::Server;
use super::queries::{ask, repeat};
use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use std::sync::Arc;
use std::time::Duration;

/// Services that the series are of.
const SERVICES: usize = 20;
/// Upper bounds of the buckets of a histogram; with the last one there is one more bucket.
const BOUNDS: [f64; 16] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0];
/// Nanoseconds between the samples of a series.
const EVERY: u64 = 60_000_000_000;
/// How long the server is left alone before it is asked.
const REST: Duration = Duration::from_secs(3);
const METHOD: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// How much there is to evaluate.
#[derive(Args, Clone)]
pub(crate) struct PromQlFlags {
    /// Series of the counter, and of the buckets of the histogram.
    #[arg(long, default_value_t = 8_500)]
    series: usize,
    /// Samples of each series.
    #[arg(long, default_value_t = 118)]
    samples: u64,
    /// How often each query is asked, after once to warm up.
    #[arg(long, default_value_t = 21)]
    times: usize,
}

fn attribute(key: &str, value: String) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(value)) }),
        ..KeyValue::default()
    }
}

/// A number that looks random and grows with the sample.
const fn grown(series: u64, sample: u64) -> u64 {
    sample * (1 + series % 7) + (series.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 60)
}

fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric { name: name.to_owned(), unit: unit.to_owned(), data: Some(data), ..Metric::default() }
}

/// All points of one moment.
fn request(flags: &PromQlFlags, sample: u64, time: u64) -> Vec<u8> {
    let histograms = flags.series / (BOUNDS.len() + 1);
    let of_service = |service: usize| {
        let mine = |count: usize| (0..count).filter(move |number| number % SERVICES == service);
        let attributes = |number: usize| {
            vec![
                attribute("http.route", format!("/v1/things/{}", number / SERVICES % 25)),
                attribute("k8s.pod.name", format!("pod-{:05}", number / SERVICES / 25)),
            ]
        };
        let numbers = mine(flags.series).map(|number| NumberDataPoint {
            attributes: attributes(number),
            time_unix_nano: time,
            value: Some(Number::AsDouble(grown(number as u64, sample) as f64)),
            ..NumberDataPoint::default()
        });
        let counted = mine(histograms).map(|number| {
            let counts: Vec<u64> = (0..=BOUNDS.len()).map(|bucket| grown((number + bucket) as u64, sample)).collect();
            HistogramDataPoint {
                attributes: attributes(number),
                time_unix_nano: time,
                count: counts.iter().sum(),
                sum: Some(sample as f64),
                bucket_counts: counts,
                explicit_bounds: BOUNDS.to_vec(),
                ..HistogramDataPoint::default()
            }
        });
        let aggregation_temporality = AggregationTemporality::Cumulative.into();
        let sum = Sum { data_points: numbers.collect(), aggregation_temporality, is_monotonic: true };
        let histogram = Histogram { data_points: counted.collect(), aggregation_temporality };
        ResourceMetrics {
            resource: Some(Resource {
                attributes: vec![
                    attribute("service.name", format!("service-{service:02}")),
                    attribute("service.namespace", "shop".to_owned()),
                ],
                ..Resource::default()
            }),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(InstrumentationScope { name: "bench".to_owned(), ..InstrumentationScope::default() }),
                metrics: vec![
                    metric("bench.requests", "{request}", Data::Sum(sum)),
                    metric("bench.duration", "s", Data::Histogram(histogram)),
                ],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }
    };
    ExportMetricsServiceRequest { resource_metrics: (0..SERVICES).map(of_service).collect() }.encode_to_vec()
}

/// `mangru bench promql`.
pub(crate) async fn run(flags: PromQlFlags) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path()).await?;
    let now = mangru_query::now_ns() as u64 / EVERY * EVERY;
    let start = now - flags.samples * EVERY;
    let requests = (0..flags.samples).map(|sample| Bytes::from(request(&flags, sample, start + sample * EVERY)));
    send(&server.grpc, METHOD, Arc::new(requests.collect()), 4, None).await?;
    server.flush().await?;
    tokio::time::sleep(REST).await;
    println!("{} series of {} samples of a counter, and as many of buckets", flags.series, flags.samples);
    println!("{:.1} MB of parts", server.part_bytes().await? as f64 / 1e6);
    let path = |query: &str| {
        let (start, end) = (start / 1_000_000_000, now / 1_000_000_000);
        let path = format!("http://localhost/api/v1/query_range?start={start}&end={end}&step=60");
        let url = reqwest::Url::parse_with_params(&path, [("query", query)])?;
        anyhow::Ok(format!("{}?{}", url.path(), url.query().unwrap_or_default()))
    };
    let client = reqwest::Client::new();
    println!("query                                               median      min      max    first");
    for (name, query) in [
        ("rate by service", "sum by (service_name) (rate(bench_requests_total[5m]))"),
        (
            "quantile by service",
            "histogram_quantile(0.95, sum by (le, service_name) (rate(bench_duration_seconds_bucket[5m])))",
        ),
        ("ten largest", "topk(10, rate(bench_requests_total[5m]))"),
        (
            "share of a service",
            "sum(rate(bench_requests_total{service_name=\"service-03\"}[5m])) / sum(rate(bench_requests_total[5m]))",
        ),
    ] {
        let path = path(query)?;
        let started = std::time::Instant::now();
        let answer = ask(&client, &server.ui, path.clone()).await?;
        let first = started.elapsed().as_secs_f64() * 1000.0;
        let found = answer["data"]["result"].as_array().context("no series")?.len();
        anyhow::ensure!(found > 0, "{query} finds nothing");
        let took = repeat(flags.times.max(1), || ask(&client, &server.ui, path.clone())).await?;
        let (median, least, most) = (took[took.len() / 2], took[0], took[took.len() - 1]);
        println!("{name:<48} {median:>6.1}ms {least:>6.1}ms {most:>6.1}ms {first:>6.1}ms");
    }
    server.stop().await
}
