//! OTLP over gRPC as a client of another make sees it.

mod harness;

use harness::{ALL_TIME_END, Server};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic::transport::Channel;
use tonic_types::StatusExt as _;

async fn channel(server: &Server) -> Channel {
    Channel::from_shared(format!("http://{}", server.grpc)).expect("address").connect().await.expect("connection")
}

fn logs(body: &str, count: usize) -> ExportLogsServiceRequest {
    let record = LogRecord {
        time_unix_nano: 1_700_000_000_000_000_000,
        body: Some(AnyValue { value: Some(Value::StringValue(body.to_owned())) }),
        ..LogRecord::default()
    };
    let scope_logs = vec![ScopeLogs { log_records: vec![record; count], ..ScopeLogs::default() }];
    ExportLogsServiceRequest { resource_logs: vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }] }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_gzip_and_zstd_requests_are_kept_and_answered_without_partial_success() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let client = LogsServiceClient::new(channel(&server).await);
    let clients = [
        client.clone(),
        client.clone().send_compressed(CompressionEncoding::Gzip),
        client.send_compressed(CompressionEncoding::Zstd),
    ];
    for mut client in clients {
        let answer = client.export(logs("over grpc", 10)).await.expect("kept").into_inner();
        assert!(answer.partial_success.is_none());
    }
    assert_eq!(server.count("logs", "\"over grpc\"").await, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_be_kept_is_refused_so_that_no_client_tries_again() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let mut client = LogsServiceClient::new(channel(&server).await);
    let status = client.export(logs(&"x".repeat(1000), 6000)).await.expect_err("too long");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.details().is_empty(), "RetryInfo would make it retryable");
    // A bomb: short on the wire, long when unpacked.
    let mut packed = client.clone().send_compressed(CompressionEncoding::Gzip);
    let status = packed.export(logs(&"x".repeat(1000), 6000)).await.expect_err("too long");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");

    let deep = (0..200).fold(AnyValue { value: Some(Value::IntValue(1)) }, |inner, _| AnyValue {
        value: Some(Value::ArrayValue(opentelemetry_proto::tonic::common::v1::ArrayValue { values: vec![inner] })),
    });
    let mut request = logs("x", 1);
    request.resource_logs[0].scope_logs[0].log_records[0].body = Some(deep);
    let status = client.export(request).await.expect_err("too deep");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert!(!status.details().is_empty(), "BadRequest says what is wrong");

    client.export(logs("still working", 1)).await.expect("kept");
    assert_eq!(server.count("logs", "still").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_without_valid_ids_are_refused_alone() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let span = |trace_id: Vec<u8>| Span { trace_id, span_id: vec![1; 8], name: "n".to_owned(), ..Span::default() };
    let spans = vec![span(vec![1; 16]), span(vec![0; 16]), span(vec![1; 4])];
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let request =
        ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] };
    let answer = TraceServiceClient::new(channel(&server).await).export(request).await.expect("answer").into_inner();
    let partial = answer.partial_success.expect("partial success");
    assert_eq!(partial.rejected_spans, 2);
    assert!(partial.error_message.contains("trace_id"), "{}", partial.error_message);
    let parameters = [("query", "*"), ("start", "0"), ("end", ALL_TIME_END)];
    let page = server.get("/api/v1/spans", &parameters).await;
    assert_eq!(page["rows"].as_array().map(Vec::len), Some(1));
    let jaeger = server.get("/api/traces/01010101010101010101010101010101", &[]).await;
    assert_eq!(jaeger["data"][0]["spans"][0]["operationName"], "n");
}

/// The delay that `google.rpc.RetryInfo` in a status asks for.
fn retry_delay(status: &tonic::Status) -> Option<std::time::Duration> {
    status.get_details_retry_info().and_then(|info| info.retry_delay)
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_there_is_room_for_is_asked_to_come_again_and_none_of_it_is_lost() {
    let folder = tempfile::tempdir().expect("folder");
    let limits = [
        ("MANGRU_STORE_INGEST_MIB", "16"),
        ("MANGRU_STORE_SEAL_MIB", "4"),
        ("MANGRU_OTLP_MAX_HTTP_MIB", "4"),
        ("MANGRU_OTLP_MAX_IN_FLIGHT_MIB", "4"),
    ];
    let server = Server::start(folder.path(), &limits);
    let channel = channel(&server).await;
    let senders: Vec<_> = (0..8)
        .map(|_| {
            let mut client = LogsServiceClient::new(channel.clone());
            tokio::spawn(async move {
                let (mut kept, mut refused) = (0_u64, 0_u64);
                while kept < 4 {
                    match client.export(logs(&"heavy load ".repeat(30), 3000)).await {
                        Ok(_) => kept += 1,
                        Err(status) => {
                            assert_eq!(status.code(), Code::Unavailable, "{status}");
                            assert!(retry_delay(&status).is_some_and(|delay| !delay.is_zero()), "{status}");
                            refused += 1;
                            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                        }
                    }
                }
                refused
            })
        })
        .collect();
    let mut refused = 0;
    for sender in senders {
        refused += sender.await.expect("a sender");
    }
    assert!(refused > 0, "the load was no overload");
    assert_eq!(server.count("logs", "heavy").await, 8 * 4 * 3000);
}
