//! Metric points of four kinds.

use super::{PODS, ROUND, Random, SERIES, SERVICES, resource, scope, text};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, metric::Data, number_data_point,
};
use prost::Message as _;
use std::ops::Range;

/// Metric points of one pod after the other, 46 series each: gauges, sums, histograms and exponential histograms.
pub(super) fn metrics(number: u64, count: usize, start: u64) -> Vec<u8> {
    let mut random = Random::new(number + 13);
    let mut resource_metrics = Vec::new();
    let mut point = number as usize * count;
    let end = point + count;
    while point < end {
        // A pod tells all its series at one moment, once a round.
        let pod = point / SERIES;
        let round = pod / (SERVICES.len() * PODS);
        let time = start + round as u64 * ROUND;
        let mut series = point % SERIES;
        let last = SERIES.min(series + end - point);
        point += last - series;
        let mut metrics = Vec::new();
        while series < last {
            // Two series, of the two methods, are points of one metric.
            let next = last.min(series / 2 * 2 + 2);
            metrics.push(metric(series..next, time, start, round as u64, &mut random));
            series = next;
        }
        let place = pod % (SERVICES.len() * PODS);
        resource_metrics.push(ResourceMetrics {
            resource: Some(resource(place / PODS, place % PODS)),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope("com.shop.metrics")),
                metrics,
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        });
    }
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
}

fn metric(points: Range<usize>, time: u64, start: u64, round: u64, random: &mut Random) -> Metric {
    let first = points.start;
    let attributes = |series: usize| {
        vec![
            text("http.route", format!("/api/route-{}", first / 2 % 6)),
            text("http.request.method", ["GET", "POST"][series % 2]),
        ]
    };
    let (name, unit, data) = match first {
        0..16 => {
            let point = |series| NumberDataPoint {
                attributes: attributes(series),
                time_unix_nano: time,
                value: Some(number_data_point::Value::AsDouble(random.below(10_000) as f64 / 100.0)),
                ..NumberDataPoint::default()
            };
            (
                format!("process.gauge_{}", first / 2),
                "By",
                Data::Gauge(Gauge { data_points: points.map(point).collect() }),
            )
        }
        16..34 => {
            let point = |series| NumberDataPoint {
                attributes: attributes(series),
                time_unix_nano: time,
                start_time_unix_nano: start,
                value: Some(number_data_point::Value::AsInt((round * 60 + random.below(60)) as i64)),
                ..NumberDataPoint::default()
            };
            let data_points = points.map(point).collect();
            let sum = Sum { data_points, aggregation_temporality: 2, is_monotonic: true };
            (format!("http.server.requests_{}", first / 2), "{request}", Data::Sum(sum))
        }
        34..42 => {
            let point = |series| {
                let counts: Vec<u64> = (0..11).map(|bucket| round * 3 + random.below(20) / (bucket + 1)).collect();
                HistogramDataPoint {
                    attributes: attributes(series),
                    time_unix_nano: time,
                    start_time_unix_nano: start,
                    count: counts.iter().sum(),
                    sum: Some(random.below(100_000) as f64 / 1000.0),
                    bucket_counts: counts,
                    explicit_bounds: vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0],
                    ..HistogramDataPoint::default()
                }
            };
            let histogram = Histogram { data_points: points.map(point).collect(), aggregation_temporality: 2 };
            (format!("http.server.duration_{}", first / 2), "s", Data::Histogram(histogram))
        }
        _ => {
            let point = |series| {
                let counts: Vec<u64> = (0..24).map(|_| random.below(9)).collect();
                ExponentialHistogramDataPoint {
                    attributes: attributes(series),
                    time_unix_nano: time,
                    start_time_unix_nano: start,
                    count: counts.iter().sum(),
                    sum: Some(random.below(100_000) as f64 / 1000.0),
                    scale: 4,
                    positive: Some(Buckets { offset: -20, bucket_counts: counts }),
                    ..ExponentialHistogramDataPoint::default()
                }
            };
            let data_points = points.map(point).collect();
            let histogram = ExponentialHistogram { data_points, aggregation_temporality: 2 };
            (format!("rpc.client.duration_{}", first / 2), "s", Data::ExponentialHistogram(histogram))
        }
    };
    Metric {
        name,
        unit: unit.to_owned(),
        description: "A measurement of the load.".to_owned(),
        data: Some(data),
        ..Metric::default()
    }
}
