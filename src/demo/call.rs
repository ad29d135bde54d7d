//! One call in the shop as spans of both its sides, with logs and metrics. Durations are simulated: spans get their times
//! written, nobody waits.

use super::service::Service;
use opentelemetry::logs::{AnyValue, Severity};
use opentelemetry::trace::{Span as _, SpanKind, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use std::time::{Duration, SystemTime};

/// What goes wrong in a call.
#[derive(Clone)]
pub(super) enum Fault {
    /// An exception with its stack trace ends the call.
    Exception { kind: &'static str, message: String, stack: &'static str },
    /// The call answers with an error.
    Refused(&'static str),
}

/// A line that a service logs: severity, body, attributes.
pub(super) type Line = (Severity, String, Vec<(&'static str, AnyValue)>);

/// A call to a service, and the calls it makes in turn.
pub(super) struct Call<'a> {
    pub(super) callee: &'a Service,
    /// The callee's operation, such as `POST /checkout` or `PaymentService/Charge`.
    pub(super) operation: &'static str,
    /// Attributes of both sides.
    pub(super) attributes: Vec<KeyValue>,
    /// The callee's own work before and after its calls.
    pub(super) work: Duration,
    /// What the callee does, one after the other.
    pub(super) steps: Vec<Step<'a>>,
    pub(super) fault: Option<Fault>,
    /// A line the callee logs.
    pub(super) line: Option<Line>,
}

/// Something a service does during a call.
pub(super) enum Step<'a> {
    /// Calls another service.
    Call(Call<'a>),
    /// Asks a database or cache.
    Database { system: &'static str, namespace: &'static str, query: &'static str, takes: Duration, rows: i64 },
    /// Sends a message that another service works on later.
    Publish { topic: &'static str, consumer: Call<'a>, delay: Duration },
}

/// Runs a call that comes from nowhere.
pub(super) fn root(call: &Call<'_>, start: SystemTime) {
    serve(call, &Context::new(), &SpanKind::Server, start);
}

/// The callee's side. Gives how long it took and whether it went well.
fn serve(call: &Call<'_>, parent: &Context, kind: &SpanKind, start: SystemTime) -> (Duration, bool) {
    let span = call
        .callee
        .tracer
        .span_builder(call.operation)
        .with_kind(kind.clone())
        .with_start_time(start)
        .with_attributes(call.attributes.clone())
        .start_with_context(&call.callee.tracer, parent);
    let context = parent.with_span(span);
    let mut now = start + call.work / 2;
    let mut went_well = true;
    for step in &call.steps {
        let (took, well) = run(step, call.callee, &context, now);
        now += took;
        went_well &= well;
    }
    now += call.work / 2;
    let guard = context.clone().attach();
    if let Some((severity, line, attributes)) = &call.line {
        call.callee.log(now, *severity, line.clone(), attributes.clone());
    }
    let span = context.span();
    match &call.fault {
        Some(Fault::Exception { kind, message, stack }) => {
            went_well = false;
            span.add_event_with_timestamp(
                "exception",
                now,
                vec![
                    KeyValue::new("exception.type", *kind),
                    KeyValue::new("exception.message", message.clone()),
                    KeyValue::new("exception.stacktrace", *stack),
                ],
            );
            let attributes = vec![
                ("exception.type", AnyValue::from(*kind)),
                ("exception.message", AnyValue::from(message.clone())),
                ("exception.stacktrace", AnyValue::from(*stack)),
            ];
            call.callee.log(now, Severity::Error, format!("{kind}: {message}\n{stack}"), attributes);
            span.set_status(Status::error(message.clone()));
        }
        Some(Fault::Refused(message)) => {
            went_well = false;
            call.callee.log(now, Severity::Warn, format!("{} failed: {message}", call.operation), Vec::new());
            span.set_status(Status::error(*message));
        }
        None if !went_well => span.set_status(Status::error("a call that this one depends on failed")),
        None => {}
    }
    if *kind == SpanKind::Server && call.attributes.iter().any(|attribute| attribute.key.as_str() == "http.route") {
        span.set_attribute(KeyValue::new("http.response.status_code", if went_well { 200_i64 } else { 500 }));
    }
    drop(guard);
    span.end_with_timestamp(now);
    let took = now.duration_since(start).unwrap_or_default();
    // Measured inside the span, so that the histogram keeps exemplars where the SDK supports them.
    let _guard = context.attach();
    let mut labels: Vec<KeyValue> =
        call.attributes.iter().filter(|attribute| attribute.key.as_str() == "http.route").cloned().collect();
    labels.push(KeyValue::new("error", !went_well));
    call.callee.duration.record(took.as_secs_f64(), &labels);
    (took, went_well)
}

/// The caller's side of a step.
fn run(step: &Step<'_>, caller: &Service, context: &Context, start: SystemTime) -> (Duration, bool) {
    match step {
        Step::Call(call) => {
            let mut attributes = call.attributes.clone();
            attributes.push(KeyValue::new("server.address", call.callee.name));
            let span = client(caller, call.operation, SpanKind::Client, attributes, context, start);
            let network = Duration::from_micros(600);
            let inner = context.with_span(span);
            let (took, well) = serve(call, &inner, &SpanKind::Server, start + network);
            let took = took + network * 2;
            if !well {
                inner.span().set_status(Status::error("the call failed"));
            }
            inner.span().end_with_timestamp(start + took);
            (took, well)
        }
        Step::Database { system, namespace, query, takes, rows } => {
            let operation = query.split(' ').next().unwrap_or_default();
            let attributes = vec![
                KeyValue::new("db.system.name", *system),
                KeyValue::new("db.namespace", *namespace),
                KeyValue::new("db.query.text", *query),
                KeyValue::new("db.operation.name", operation.to_owned()),
                KeyValue::new("db.response.returned_rows", *rows),
                KeyValue::new("server.address", format!("{system}.shop.svc")),
            ];
            let mut span = client(caller, operation, SpanKind::Client, attributes, context, start);
            if *takes > Duration::from_millis(400) {
                let guard = context.clone().attach();
                let line = format!("slow query took {} ms: {query}", takes.as_millis());
                let attributes = vec![("db.system.name", AnyValue::from(*system))];
                caller.log(start + *takes, Severity::Warn, line, attributes);
                drop(guard);
            }
            span.end_with_timestamp(start + *takes);
            (*takes, true)
        }
        Step::Publish { topic, consumer, delay } => {
            let messaging = |kind: &'static str| {
                vec![
                    KeyValue::new("messaging.system", "kafka"),
                    KeyValue::new("messaging.destination.name", *topic),
                    KeyValue::new("messaging.operation.type", kind),
                ]
            };
            let name = format!("send {topic}");
            let span = client(caller, &name, SpanKind::Producer, messaging("send"), context, start);
            let inner = context.with_span(span);
            let took = Duration::from_millis(3);
            inner.span().end_with_timestamp(start + took);
            // The consumer works in the same trace, later.
            serve(consumer, &inner, &SpanKind::Consumer, start + took + *delay);
            (took, true)
        }
    }
}

fn client(
    caller: &Service,
    name: &str,
    kind: SpanKind,
    attributes: Vec<KeyValue>,
    context: &Context,
    start: SystemTime,
) -> opentelemetry_sdk::trace::Span {
    caller
        .tracer
        .span_builder(name.to_owned())
        .with_kind(kind)
        .with_start_time(start)
        .with_attributes(attributes)
        .start_with_context(&caller.tracer, context)
}
