//! Requests that are small on the wire and large when decoded, and values nested as deep as they may.

use arrow::array::AsArray as _;
use mangru_collector::{Correlation, CorrelationConfig, decode, decode_json};
use mangru_store::Signal;
use mangru_store::nested::SpanEvent;

fn correlation() -> Correlation {
    Correlation::new(CorrelationConfig::default())
}

/// A length-delimited field.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = content.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(content);
    out
}

/// A request with as many empty records.
fn empty_records(count: usize) -> Vec<u8> {
    field(1, &field(2, &[0x12, 0x00].repeat(count)))
}

#[test]
fn a_request_of_too_many_records_is_refused_and_says_the_limit() {
    let most = decode(Signal::Logs, &empty_records(1 << 18), 1, &correlation()).expect("at the limit");
    assert_eq!(most.batch.rows().num_rows(), 1 << 18);
    let error = decode(Signal::Logs, &empty_records((1 << 18) + 1), 1, &correlation()).expect_err("above the limit");
    assert!(error.to_string().contains("more than 262144 records"), "{error}");
    let points = [0x0a, 0x00].repeat((1 << 18) + 1);
    let metrics = field(1, &field(2, &field(2, &[field(1, b"m"), field(5, &points)].concat())));
    let error = decode(Signal::MetricPoints, &metrics, 1, &correlation()).expect_err("above the limit");
    assert!(error.to_string().contains("more than 262144 records"), "{error}");
}

#[test]
fn a_resource_of_many_keys_is_kept() {
    let attributes: Vec<u8> =
        (0..100_000).flat_map(|key| field(1, &field(1, format!("{key:06}").as_bytes()))).collect();
    let message = field(1, &[field(1, &attributes), field(2, &field(2, &[]))].concat());
    let decoded = decode(Signal::Logs, &message, 1, &correlation()).expect("decoded");
    assert_eq!(decoded.batch.rows().num_rows(), 1);
}

/// A key-value list that has a key twice, nested so deep.
fn nested(levels: usize) -> Vec<u8> {
    (0..levels).fold(field(1, b"x"), |value, _| {
        let pair = field(1, &[field(1, b"k"), field(2, &value)].concat());
        field(6, &[pair, field(1, &field(1, b"k"))].concat())
    })
}

fn span_with_event(value: &[u8]) -> Vec<u8> {
    let event = [field(2, b"boom"), field(3, &[field(1, b"a"), field(2, value)].concat())].concat();
    let span = [field(1, &[7; 16]), field(2, &[7; 8]), field(11, &event)].concat();
    field(1, &field(2, &field(2, &span)))
}

#[test]
fn the_deepest_value_of_an_event_is_kept_and_a_deeper_one_refused() {
    let decoded = decode(Signal::Spans, &span_with_event(&nested(40)), 1, &correlation()).expect("kept");
    let events = decoded.batch.rows().column_by_name("events").expect("events");
    let events: Vec<SpanEvent> = serde_json::from_str(events.as_string::<i32>().value(0)).expect("events are JSON");
    assert_eq!(events[0].name, "boom");
    assert!(events[0].attributes[0].1.json().matches("$kvlist").count() == 40);
    let error = decode(Signal::Spans, &span_with_event(&nested(41)), 1, &correlation()).expect_err("too deep");
    assert!(error.to_string().contains("nests deeper than 40"), "{error}");
}

#[test]
fn members_that_are_not_known_are_passed_over_whatever_they_hold() {
    let text = format!(r#"{{"x":[{}0],"resourceLogs":[null]}}"#, r#"{"":0},"#.repeat(100_000));
    let decoded = decode_json(Signal::Logs, text.as_bytes(), 1, &correlation()).expect("decoded");
    assert_eq!(decoded.batch.rows().num_rows(), 0);
}
