//! What OTLP's JSON form means: a folder of cases that anyone may extend, and the same messages as protobuf.
//!
//! A case is `signal`, `request`, and either `columns` (some columns of the rows as text, NULL as empty) or `error` (a part
//! of the message); `rejected` counts rows that are refused alone.

use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use mangru_collector::{Correlation, CorrelationConfig, decode, decode_json};
use mangru_store::{Signal, SignalBatch};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use proptest::prelude::*;
use prost::Message as _;
use serde_json::{Value as Json, json};

const ARRIVAL: u64 = 1_800_000_000_000_000_000;

fn correlation() -> Correlation {
    Correlation::new(CorrelationConfig::default())
}

fn column(batch: &SignalBatch, name: &str) -> Vec<String> {
    let column = batch.rows().column_by_name(name).unwrap_or_else(|| panic!("there is no column {name}"));
    // The formatter knows zones by offset only; these times are UTC.
    let column = match column.data_type() {
        DataType::Timestamp(unit, _) => cast(column, &DataType::Timestamp(*unit, None)).expect("plain times"),
        _ => column.clone(),
    };
    let options = FormatOptions::default().with_timestamp_format(Some("%Y-%m-%dT%H:%M:%S%.9fZ"));
    let formatter = ArrayFormatter::try_new(&column, &options).expect("formatter");
    (0..column.len()).map(|row| formatter.value(row).to_string()).collect()
}

#[test]
fn every_case_of_the_corpus_gives_the_rows_it_says() {
    let folder = "tests/otlp_json";
    let mut cases = 0;
    for entry in std::fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("name").to_owned();
        let case: Json = serde_json::from_slice(&std::fs::read(&path).expect("case")).expect("case is JSON");
        let signal = Signal::ALL.into_iter().find(|signal| signal.table() == case["signal"]).expect("signal");
        let result = decode_json(signal, case["request"].to_string().as_bytes(), ARRIVAL, &correlation());
        if let Some(expected) = case["error"].as_str() {
            let error = result.expect_err(&name).to_string();
            assert!(error.contains(expected), "{name}: {error}");
        } else {
            let decoded = result.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(decoded.rejected, case["rejected"].as_u64().unwrap_or(0), "{name}");
            for (name_of_column, expected) in case["columns"].as_object().expect("columns") {
                assert_eq!(json!(column(&decoded.batch, name_of_column)), *expected, "{name}: column {name_of_column}");
            }
        }
        cases += 1;
    }
    assert!(cases >= 15, "{cases} cases");
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        Just(None),
        ".{0,12}".prop_map(|text| Some(Value::StringValue(text))),
        any::<bool>().prop_map(|flag| Some(Value::BoolValue(flag))),
        any::<i64>().prop_map(|number| Some(Value::IntValue(number))),
        any::<f64>().prop_map(|number| Some(Value::DoubleValue(number))),
        proptest::collection::vec(any::<u8>(), 0..6).prop_map(|bytes| Some(Value::BytesValue(bytes))),
    ]
    .prop_map(|value| AnyValue { value });
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4)
                .prop_map(|values| AnyValue { value: Some(Value::ArrayValue(ArrayValue { values })) }),
            proptest::collection::vec(("[a-c.]{0,3}", inner), 0..4).prop_map(|entries| {
                let values = entries.into_iter().map(|(key, value)| key_value(key, value)).collect();
                AnyValue { value: Some(Value::KvlistValue(KeyValueList { values })) }
            }),
        ]
    })
}

fn key_value(key: String, value: AnyValue) -> KeyValue {
    KeyValue { key, value: Some(value), ..KeyValue::default() }
}

fn request() -> impl Strategy<Value = ExportLogsServiceRequest> {
    let attributes = || proptest::collection::vec(("[a-z.]{0,12}", any_value()), 0..5);
    let record = (
        any::<u64>(),
        any::<i32>(),
        ".{0,20}",
        any_value(),
        attributes(),
        proptest::collection::vec(any::<u8>(), 0..18),
    );
    let record = record.prop_map(|(time, severity, text, body, attributes, trace_id)| LogRecord {
        time_unix_nano: time,
        severity_number: severity,
        severity_text: text,
        body: Some(body),
        attributes: attributes.into_iter().map(|(key, value)| key_value(key, value)).collect(),
        trace_id,
        ..LogRecord::default()
    });
    (attributes(), proptest::collection::vec(record, 0..6)).prop_map(|(resource, log_records)| {
        let attributes = resource.into_iter().map(|(key, value)| key_value(key, value)).collect();
        let resource = Some(Resource { attributes, ..Resource::default() });
        let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
        ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }],
        }
    })
}

proptest! {
    #[test]
    fn any_message_that_another_encoder_writes_is_decoded_row_by_row(request in request()) {
        let decoded = decode(Signal::Logs, &request.encode_to_vec(), ARRIVAL, &correlation()).expect("valid");
        let records = &request.resource_logs[0].scope_logs[0].log_records;
        prop_assert_eq!(decoded.batch.rows().num_rows(), records.len());
        let severities: Vec<String> = column(&decoded.batch, "severity_text");
        for (record, severity) in records.iter().zip(severities) {
            prop_assert_eq!(&record.severity_text, &severity);
        }
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for signal in Signal::ALL {
            let _ = decode(signal, &bytes, ARRIVAL, &correlation());
            let _ = decode_json(signal, &bytes, ARRIVAL, &correlation());
        }
    }

    #[test]
    fn a_message_cut_anywhere_never_panics(request in request(), cut in 0.0..1.0_f64) {
        let bytes = request.encode_to_vec();
        let end = (bytes.len() as f64 * cut) as usize;
        let _ = decode(Signal::Logs, &bytes[..end], ARRIVAL, &correlation());
    }
}
