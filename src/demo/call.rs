//! One call in the shop as spans of both its sides, with logs and metrics. Durations are simulated: spans get their times
//! written, nobody waits. The trace context goes from caller to callee in W3C headers, as it would over a network.

use super::service::Service;
use opentelemetry::logs::{AnyValue, Severity};
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{Span as _, SpanKind, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use std::collections::HashMap;
use std::time::{Duration, SystemTime};

/// The way of a request to another service, and of its answer.
const NETWORK: Duration = Duration::from_micros(600);
/// What handing a message to the broker takes.
const BROKER: Duration = Duration::from_millis(3);
/// A query that takes longer is logged.
const SLOW_QUERY: Duration = Duration::from_millis(400);

/// What goes wrong in a call.
#[derive(Clone)]
pub(super) enum Fault {
    /// An exception with its stack trace ends the call.
    Exception { kind: &'static str, message: String, stack: &'static str },
    /// The call answers that the service is not available.
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
    /// Waits before the next step, as between two attempts.
    Wait(Duration),
}

/// Headers that carry a trace's context.
type Headers = HashMap<String, String>;

/// Runs a call that comes from nowhere, so long ago that all it causes has just ended.
pub(super) fn root(call: &Call<'_>) {
    serve(call, &Headers::new(), SpanKind::Server, SystemTime::now() - call.ends_after());
}

impl Call<'_> {
    /// How long the callee works until it answers.
    fn takes(&self) -> Duration {
        self.work / 2 * 2 + self.steps.iter().map(Step::takes).sum::<Duration>()
    }

    /// How long after the call's start all that it causes has ended, messages included.
    fn ends_after(&self) -> Duration {
        let mut now = self.work / 2;
        let mut end = self.takes();
        for step in &self.steps {
            end = end.max(now + step.ends_after());
            now += step.takes();
        }
        end
    }

    fn attribute(&self, key: &str) -> Option<&KeyValue> {
        self.attributes.iter().find(|attribute| attribute.key.as_str() == key)
    }
}

impl Step<'_> {
    fn takes(&self) -> Duration {
        match self {
            Self::Call(call) => call.takes() + NETWORK * 2,
            Self::Database { takes, .. } => *takes,
            Self::Publish { .. } => BROKER,
            Self::Wait(time) => *time,
        }
    }

    fn ends_after(&self) -> Duration {
        match self {
            Self::Call(call) => (NETWORK + call.ends_after()).max(self.takes()),
            Self::Publish { consumer, delay, .. } => BROKER + *delay + consumer.ends_after(),
            Self::Database { .. } | Self::Wait(_) => self.takes(),
        }
    }
}

/// How a call failed: the kind of error, and the HTTP status that tells of it.
#[derive(Clone)]
struct Failure {
    kind: String,
    status: i64,
}

/// The callee's side.
fn serve(call: &Call<'_>, headers: &Headers, kind: SpanKind, start: SystemTime) -> Option<Failure> {
    let parent = TraceContextPropagator::new().extract_with_context(&Context::new(), headers);
    let span = call
        .callee
        .tracer
        .span_builder(call.operation)
        .with_kind(kind)
        .with_start_time(start)
        .with_attributes(call.attributes.clone())
        .start_with_context(&call.callee.tracer, &parent);
    let context = parent.with_span(span);
    let mut now = start + call.work / 2;
    let mut failure = None;
    for step in &call.steps {
        failure = run(step, call.callee, &context, now).or(failure);
        now += step.takes();
    }
    now += call.work / 2;
    // Logged and measured within the span, so that records carry its ids.
    let _guard = context.clone().attach();
    if let Some((severity, line, attributes)) = &call.line {
        call.callee.log(now, *severity, line.clone(), attributes.clone());
    }
    let failure = match &call.fault {
        Some(fault) => Some(fail(call, &context, fault, now)),
        None => failure.map(|cause| {
            context.span().set_status(Status::error("a call that this one depends on failed"));
            Failure { kind: cause.kind, status: 502 }
        }),
    };
    let outcome = outcome(call, failure.as_ref());
    context.span().set_attributes(outcome.clone());
    context.span().end_with_timestamp(now);
    measure(call, now.duration_since(start).unwrap_or_default(), outcome);
    failure
}

/// Ends a call with a fault: on its span, and in its service's log.
fn fail(call: &Call<'_>, context: &Context, fault: &Fault, now: SystemTime) -> Failure {
    match fault {
        Fault::Exception { kind, message, stack } => {
            let event = vec![
                KeyValue::new("exception.type", *kind),
                KeyValue::new("exception.message", message.clone()),
                KeyValue::new("exception.stacktrace", *stack),
            ];
            context.span().add_event_with_timestamp("exception", now, event);
            let attributes = vec![
                ("exception.type", AnyValue::from(*kind)),
                ("exception.message", AnyValue::from(message.clone())),
                ("exception.stacktrace", AnyValue::from(*stack)),
            ];
            call.callee.log(now, Severity::Error, format!("{kind}: {message}\n{stack}"), attributes);
            context.span().set_status(Status::error(message.clone()));
            Failure { kind: (*kind).to_owned(), status: 500 }
        }
        Fault::Refused(message) => {
            let line = format!("{} refused: {message}", call.operation);
            call.callee.log(now, Severity::Warn, line, Vec::new());
            context.span().set_status(Status::error(*message));
            Failure { kind: "unavailable".to_owned(), status: 503 }
        }
    }
}

/// What span and metrics say about a call's end, by the conventions of its protocol.
fn outcome(call: &Call<'_>, failure: Option<&Failure>) -> Vec<KeyValue> {
    let mut attributes = Vec::new();
    if call.attribute("http.route").is_some() {
        let status = failure.map_or(200, |failure| failure.status);
        attributes.push(KeyValue::new("http.response.status_code", status));
    }
    if call.attribute("rpc.method").is_some() {
        // gRPC's OK and INTERNAL.
        attributes.push(KeyValue::new("rpc.grpc.status_code", if failure.is_some() { 13_i64 } else { 0 }));
    }
    attributes.extend(failure.map(|failure| KeyValue::new("error.type", failure.kind.clone())));
    attributes
}

/// Counts a call in the histogram of its protocol.
fn measure(call: &Call<'_>, took: Duration, outcome: Vec<KeyValue>) {
    let (histogram, keys): (_, &[&str]) = if call.attribute("rpc.method").is_some() {
        (&call.callee.rpc_duration, &["rpc.system", "rpc.service", "rpc.method"])
    } else if call.attribute("messaging.system").is_some() {
        (&call.callee.message_duration, &["messaging.system", "messaging.destination.name"])
    } else {
        (&call.callee.http_duration, &["http.request.method", "http.route"])
    };
    let mut labels: Vec<KeyValue> = keys.iter().filter_map(|key| call.attribute(key).cloned()).collect();
    labels.extend(outcome);
    histogram.record(took.as_secs_f64(), &labels);
}

/// The caller's side of a step.
fn run(step: &Step<'_>, caller: &Service, context: &Context, start: SystemTime) -> Option<Failure> {
    let end = start + step.takes();
    match step {
        Step::Call(call) => {
            let mut attributes = call.attributes.clone();
            attributes.push(KeyValue::new("server.address", call.callee.name));
            let span = begin(caller, call.operation, SpanKind::Client, attributes, context, start);
            let inner = context.with_span(span);
            let failure = serve(call, &headers(&inner), SpanKind::Server, start + NETWORK);
            inner.span().set_attributes(outcome(call, failure.as_ref()));
            if failure.is_some() {
                inner.span().set_status(Status::error("the call failed"));
            }
            inner.span().end_with_timestamp(end);
            failure
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
            let mut span = begin(caller, operation, SpanKind::Client, attributes, context, start);
            if *takes > SLOW_QUERY {
                let _guard = context.clone().attach();
                let line = format!("slow query took {} ms: {query}", takes.as_millis());
                let attributes = vec![("db.system.name", AnyValue::from(*system))];
                caller.log(end, Severity::Warn, line, attributes);
            }
            span.end_with_timestamp(end);
            None
        }
        Step::Publish { topic, consumer, delay } => {
            let attributes = vec![
                KeyValue::new("messaging.system", "kafka"),
                KeyValue::new("messaging.destination.name", *topic),
                KeyValue::new("messaging.operation.type", "send"),
            ];
            let span = begin(caller, &format!("send {topic}"), SpanKind::Producer, attributes, context, start);
            let inner = context.with_span(span);
            inner.span().end_with_timestamp(end);
            // The consumer works in the same trace, later; what happens to it is nothing to the producer.
            serve(consumer, &headers(&inner), SpanKind::Consumer, end + *delay);
            None
        }
        Step::Wait(_) => None,
    }
}

/// The headers that a caller sends along.
fn headers(context: &Context) -> Headers {
    let mut headers = Headers::new();
    TraceContextPropagator::new().inject_context(context, &mut headers);
    headers
}

fn begin(
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
