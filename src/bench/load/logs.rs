//! Logs in ten shapes: access, database, cache, order, broker, gRPC, session, retry, exception, garbage collection.

use super::{PODS, Random, SERVICES, STEP, attribute, id16, int, resource, scope, text};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use prost::Message as _;

/// Logs of one pod: ten shapes of message, 6 to 10 attributes, trace ids on six of ten.
pub(super) fn logs(number: u64, count: usize, start: u64) -> Vec<u8> {
    let mut random = Random::new(number + 1);
    let pod = number as usize % (SERVICES.len() * PODS);
    // The pods send in turn, each what it logged since its last turn, so that in time their logs lie among each other.
    let pace = (SERVICES.len() * PODS) as u64 * STEP / count as u64;
    let records = (0..count)
        .map(|index| {
            let time = start + number * STEP + index as u64 * pace + random.below(pace);
            let (severity, body, mut attributes) = shape(&mut random);
            attributes.extend([
                text("thread.name", format!("http-nio-8080-exec-{}", random.below(32))),
                text("code.function.name", format!("com.shop.handler.Handler{}.handle", random.below(24))),
                int("thread.id", 20 + random.below(200)),
                text("log.logger", format!("com.shop.service.Service{}", random.below(16))),
            ]);
            let traced = random.below(10) < 6;
            let trace = ((number << 20) | (index as u64 / 8)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
            LogRecord {
                time_unix_nano: time,
                observed_time_unix_nano: time + 1_000_000,
                severity_number: severity,
                severity_text: ["INFO", "WARN", "ERROR"][(severity as usize - 9) / 4].to_owned(),
                body: Some(AnyValue { value: Some(Value::StringValue(body)) }),
                attributes,
                trace_id: if traced { id16(trace) } else { Vec::new() },
                span_id: if traced { random.next().to_be_bytes().to_vec() } else { Vec::new() },
                flags: u32::from(traced),
                ..LogRecord::default()
            }
        })
        .collect();
    let scope_logs =
        vec![ScopeLogs { scope: Some(scope("com.shop.logging")), log_records: records, ..ScopeLogs::default() }];
    let resource = Some(resource(pod / PODS, pod % PODS));
    let request = ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs { resource, scope_logs, ..ResourceLogs::default() }],
    };
    request.encode_to_vec()
}

/// Severity, body and attributes of a log.
type Shape = (i32, String, Vec<KeyValue>);

/// Each shape as often as it comes among a hundred logs.
fn shape(random: &mut Random) -> Shape {
    let user = random.below(50_000);
    let order = random.below(2_000_000);
    match random.below(100) {
        0..30 => access(random, user, order),
        30..45 => database(random, user),
        45..57 => cache(random),
        57..70 => order_placed(random, user, order),
        70..78 => broker(random),
        78..85 => rpc(random),
        85..90 => session(random, user, order),
        90..95 => retry(random),
        95..98 => exception(random, order),
        _ => garbage_collection(random),
    }
}

/// A request answered over HTTP.
fn access(random: &mut Random, user: u64, order: u64) -> Shape {
    let route =
        ["/api/products/{id}", "/api/cart", "/api/orders", "/api/users/{id}", "/health"][random.below(5) as usize];
    let status = [200, 200, 200, 200, 201, 304, 404, 500][random.below(8) as usize];
    let millis = random.below(400);
    let body = format!(
        "GET {route} HTTP/1.1 {status} {millis}ms {} bytes 10.0.{}.{}",
        random.below(90_000),
        user % 250,
        order % 250
    );
    let attributes = vec![
        text("http.request.method", "GET"),
        text("http.route", route),
        int("http.response.status_code", status),
        int("http.response.body.size", random.below(90_000)),
        text("client.address", format!("10.0.{}.{}", user % 250, order % 250)),
        text("user.id", format!("u-{user}")),
    ];
    (9, body, attributes)
}

/// A query of the database.
fn database(random: &mut Random, user: u64) -> Shape {
    let millis = random.below(900);
    let body = format!(
        "query took {millis} ms: SELECT id, status, total FROM orders WHERE customer_id = {user} ORDER BY created_at DESC LIMIT 20"
    );
    let attributes = vec![
        text("db.system.name", "postgresql"),
        text("db.namespace", "orders"),
        text("db.operation.name", "SELECT"),
        int("db.response.returned_rows", random.below(21)),
    ];
    (if millis > 700 { 13 } else { 9 }, body, attributes)
}

/// A look into the cache.
fn cache(random: &mut Random) -> Shape {
    let hit = random.below(4) > 0;
    let body = format!("cache {} for key session:{:016x}", if hit { "hit" } else { "miss" }, random.next());
    (
        9,
        body,
        vec![
            text("db.system.name", "redis"),
            attribute("cache.hit", Value::BoolValue(hit)),
            int("cache.ttl", random.below(3600)),
        ],
    )
}

/// An order.
fn order_placed(random: &mut Random, user: u64, order: u64) -> Shape {
    let body = format!(
        "order ORD-{order:07} placed by customer {user}: {} items, total {}.{:02} EUR",
        1 + random.below(9),
        random.below(900),
        random.below(100)
    );
    let attributes = vec![
        text("order.id", format!("ORD-{order:07}")),
        text("customer.id", format!("c-{user}")),
        attribute("order.total", Value::DoubleValue(random.below(90_000) as f64 / 100.0)),
        text("currency", "EUR"),
    ];
    (9, body, attributes)
}

/// A message from the broker.
fn broker(random: &mut Random) -> Shape {
    let offset = random.below(10_000_000);
    let body = format!("consumed message from topic orders partition {} offset {offset}", random.below(12));
    let attributes = vec![
        text("messaging.system", "kafka"),
        text("messaging.destination.name", "orders"),
        int("messaging.kafka.offset", offset),
        text("messaging.consumer.group.name", "billing"),
    ];
    (9, body, attributes)
}

/// A call over gRPC.
fn rpc(random: &mut Random) -> Shape {
    let body = format!("rpc shop.Inventory/Reserve finished in {} us with status OK", random.below(90_000));
    (
        9,
        body,
        vec![
            text("rpc.system", "grpc"),
            text("rpc.service", "shop.Inventory"),
            text("rpc.method", "Reserve"),
            int("rpc.grpc.status_code", 0),
        ],
    )
}

/// A session.
fn session(random: &mut Random, user: u64, order: u64) -> Shape {
    let body = format!(
        "session {:016x} of user u-{user} {}",
        random.next(),
        if random.below(2) == 0 { "started" } else { "expired" }
    );
    (
        9,
        body,
        vec![
            text("session.id", format!("{:016x}", random.next())),
            text("user.id", format!("u-{user}")),
            text("client.address", format!("192.168.{}.{}", user % 250, order % 250)),
        ],
    )
}

/// A retry.
fn retry(random: &mut Random) -> Shape {
    let attempt = 1 + random.below(5);
    let body = format!(
        "retry {attempt} of 5 for upstream payment-{} after connection refused, next in {} ms",
        random.below(9),
        attempt * 100
    );
    (
        13,
        body,
        vec![text("peer.service", "payment"), int("retry.attempt", attempt), text("error.type", "connection_refused")],
    )
}

/// An exception with its stack trace.
fn exception(random: &mut Random, order: u64) -> Shape {
    let kind = ["java.lang.NullPointerException", "java.net.SocketTimeoutException", "java.lang.IllegalStateException"]
        [random.below(3) as usize];
    let line = random.below(400);
    let body = format!(
        "{kind}: cannot process order ORD-{order:07}\n\tat com.shop.orders.OrderService.process(OrderService.java:{line})\n\tat com.shop.orders.OrderController.post(OrderController.java:{})\n\tat jdk.internal.reflect.Method.invoke(Method.java:580)\n\tat org.springframework.web.servlet.DispatcherServlet.doDispatch(DispatcherServlet.java:1089)\n\tat java.lang.Thread.run(Thread.java:1583)",
        line / 2
    );
    (
        17,
        body,
        vec![
            text("exception.type", kind),
            text("exception.message", format!("cannot process order ORD-{order:07}")),
            text("order.id", format!("ORD-{order:07}")),
        ],
    )
}

/// A pause of the garbage collector.
fn garbage_collection(random: &mut Random) -> Shape {
    let body = format!(
        "GC pause (G1 Evacuation Pause) {}M->{}M(4096M) {}.{:03}ms",
        random.below(4000),
        random.below(2000),
        random.below(90),
        random.below(1000)
    );
    (
        9,
        body,
        vec![
            text("jvm.gc.name", "G1 Young Generation"),
            text("jvm.gc.action", "end of minor GC"),
            int("jvm.gc.cause", random.below(3)),
        ],
    )
}
