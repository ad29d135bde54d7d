//! The shop: who calls whom, and what goes wrong.
//!
//! Four faults never stop: the orders database is slow for some checkouts, some cards make the payment service throw, a
//! checkout that meets such a card tries again and again (a retry storm), and recommendations are refused while their circuit
//! breaker is open.

use super::call::{Call, Fault, Step, root};
use super::service::{Description, Service};
use opentelemetry::KeyValue;
use opentelemetry::logs::{AnyValue, Severity};
use rand::RngExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const SERVICES: [Description; 11] = [
    Description { name: "web-frontend", version: "4.12.0", language: "nodejs", pods: 1 },
    Description { name: "api-gateway", version: "2.3.1", language: "go", pods: 2 },
    Description { name: "checkout", version: "1.9.4", language: "go", pods: 3 },
    Description { name: "cart", version: "1.4.0", language: "dotnet", pods: 4 },
    Description { name: "catalog", version: "3.0.2", language: "jvm", pods: 5 },
    Description { name: "payment", version: "0.8.7", language: "jvm", pods: 6 },
    Description { name: "inventory", version: "2.1.0", language: "rust", pods: 7 },
    Description { name: "shipping", version: "1.0.3", language: "rust", pods: 8 },
    Description { name: "email", version: "1.1.1", language: "ruby", pods: 9 },
    Description { name: "recommendation", version: "0.3.0", language: "python", pods: 10 },
    Description { name: "user", version: "5.2.0", language: "php", pods: 11 },
];

const STACK: &str = "java.lang.IllegalStateException: card processor answered 402\n\
    \tat shop.payment.CardGateway.charge(CardGateway.java:118)\n\
    \tat shop.payment.ChargeHandler.handle(ChargeHandler.java:57)\n\
    \tat shop.payment.PaymentService.charge(PaymentService.java:203)\n\
    \tat io.grpc.stub.ServerCalls.invoke(ServerCalls.java:182)\n\
    Caused by: shop.payment.DeclinedException: insufficient funds\n\
    \tat shop.payment.CardGateway.parse(CardGateway.java:161)\n\
    \t... 3 more";

/// The running shop.
pub(super) struct Shop {
    services: Vec<Service>,
    visits: AtomicU64,
}

impl Shop {
    pub(super) fn open(endpoint: &str) -> anyhow::Result<Self> {
        let services =
            SERVICES.iter().map(|description| Service::start(description, endpoint)).collect::<Result<_, _>>()?;
        Ok(Self { services, visits: AtomicU64::new(0) })
    }

    pub(super) fn close(&self) {
        self.services.iter().for_each(Service::close);
    }

    fn service(&self, name: &str) -> &Service {
        // Every name below stands in the list above.
        self.services.iter().find(|service| service.name == name).unwrap_or(&self.services[0])
    }

    /// One visitor does one thing.
    pub(super) fn visit(&self) {
        let visit = self.visits.fetch_add(1, Ordering::Relaxed);
        let mut random = rand::rng();
        let call = match visit % 10 {
            0..5 => self.browse(visit),
            5..7 => self.login(visit),
            _ => self.checkout(visit),
        };
        root(&self.page(call, visit));
        if visit.is_multiple_of(25) {
            let depth = (visit / 25) % 40 + random.random_range(0..5_u64);
            let topic = [KeyValue::new("messaging.destination.name", "orders")];
            self.service("shipping").queue_depth.record(depth, &topic);
            let state = if breaker_is_open(visit) { 2 } else { 0 };
            let name = [KeyValue::new("circuit_breaker.name", "recommendation")];
            self.service("catalog").breaker.record(state, &name);
        }
    }

    /// The way every visit comes in: browser, front end, gateway.
    fn page<'a>(&'a self, call: Call<'a>, visit: u64) -> Call<'a> {
        let operation = call.operation;
        let gateway = Call {
            callee: self.service("api-gateway"),
            operation,
            attributes: call.attributes.clone(),
            work: jitter(2),
            steps: vec![Step::Call(call)],
            fault: None,
            line: Some((
                Severity::Info,
                format!("{operation} for visitor {}", visit % 977),
                vec![("http.request.header.x-request-id", AnyValue::from(request_id(visit)))],
            )),
        };
        let mut attributes = gateway.attributes.clone();
        attributes.push(KeyValue::new("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64)"));
        attributes.push(KeyValue::new("http.request.header.x-request-id", request_id(visit)));
        Call {
            callee: self.service("web-frontend"),
            operation,
            attributes,
            work: jitter(5),
            steps: vec![Step::Call(gateway)],
            fault: None,
            line: Some((
                Severity::Debug,
                format!("page for {operation} rendered"),
                vec![("session.id", AnyValue::from(session_id(visit)))],
            )),
        }
    }

    fn browse(&self, visit: u64) -> Call<'_> {
        let product = visit % 311;
        let open = breaker_is_open(visit);
        let recommendation = Call {
            callee: self.service("recommendation"),
            operation: "GET /recommendations",
            attributes: http("GET", "/recommendations"),
            work: jitter(if open { 1 } else { 18 }),
            steps: Vec::new(),
            fault: open.then_some(Fault::Refused("circuit breaker is open")),
            line: (!open).then(|| {
                let attributes = vec![("product.id", AnyValue::from(product as i64))];
                (Severity::Info, format!("{} products recommended beside {product}", 3 + product % 5), attributes)
            }),
        };
        Call {
            callee: self.service("catalog"),
            operation: "GET /products/{id}",
            attributes: http("GET", "/products/{id}"),
            work: jitter(4),
            steps: vec![
                Step::Database {
                    system: "postgresql",
                    namespace: "catalog",
                    query: "SELECT * FROM products WHERE id = $1",
                    takes: jitter(6),
                    rows: 1,
                },
                Step::Call(recommendation),
            ],
            fault: None,
            line: Some((
                Severity::Info,
                format!("product {product} shown, 결제 가능, price {}.{:02} EUR", 5 + product % 90, product % 100),
                vec![("product.id", AnyValue::from(product as i64))],
            )),
        }
    }

    fn login(&self, visit: u64) -> Call<'_> {
        let is_wrong = visit.is_multiple_of(55);
        Call {
            callee: self.service("user"),
            operation: "POST /login",
            attributes: http("POST", "/login"),
            work: jitter(9),
            steps: vec![Step::Database {
                system: "mysql",
                namespace: "users",
                query: "SELECT id, hash FROM users WHERE name = ?",
                takes: jitter(5),
                rows: 1,
            }],
            fault: None,
            line: Some((
                if is_wrong { Severity::Warn } else { Severity::Info },
                format!(
                    "login of user {} {}",
                    visit % 4001,
                    if is_wrong { "failed: wrong password" } else { "succeeded" }
                ),
                vec![("session.id", AnyValue::from(session_id(visit)))],
            )),
        }
    }

    fn checkout(&self, visit: u64) -> Call<'_> {
        let order = format!("ORD-{:06}", 100_000 + visit);
        let card_fails = visit % 10 == 9 && (visit / 10).is_multiple_of(3);
        let attempts = if card_fails { 4 } else { 1 };
        let slow = (visit / 10) % 8 == 5;
        let rpc = |service: &'static str, method: &'static str| {
            vec![
                KeyValue::new("rpc.system", "grpc"),
                KeyValue::new("rpc.service", service),
                KeyValue::new("rpc.method", method),
                KeyValue::new("order.id", order.clone()),
            ]
        };
        let mut steps = vec![
            Step::Call(Call {
                callee: self.service("cart"),
                operation: "CartService/GetCart",
                attributes: rpc("shop.CartService", "GetCart"),
                work: jitter(2),
                steps: vec![Step::Database {
                    system: "redis",
                    namespace: "0",
                    query: "HGETALL cart",
                    takes: jitter(1),
                    rows: 3,
                }],
                fault: None,
                line: Some((
                    Severity::Info,
                    format!("cart of {} items loaded", 1 + visit % 7),
                    vec![("session.id", AnyValue::from(session_id(visit)))],
                )),
            }),
            Step::Call(Call {
                callee: self.service("inventory"),
                operation: "InventoryService/Reserve",
                attributes: rpc("shop.InventoryService", "Reserve"),
                work: jitter(3),
                steps: vec![Step::Database {
                    system: "postgresql",
                    namespace: "orders",
                    query: "UPDATE stock SET reserved = reserved + $1 WHERE product_id = $2",
                    takes: jitter(if slow { 1800 } else { 8 }),
                    rows: 1,
                }],
                fault: None,
                line: Some((
                    Severity::Info,
                    format!("stock reserved for {order}"),
                    vec![("order.id", AnyValue::from(order.clone()))],
                )),
            }),
        ];
        for attempt in 1..=attempts {
            if attempt > 1 {
                steps.push(Step::Wait(Duration::from_millis(50 << attempt)));
            }
            steps.push(Step::Call(Call {
                callee: self.service("payment"),
                operation: "PaymentService/Charge",
                attributes: rpc("shop.PaymentService", "Charge"),
                work: jitter(35),
                steps: Vec::new(),
                fault: card_fails.then(|| Fault::Exception {
                    kind: "java.lang.IllegalStateException",
                    message: format!("card processor answered 402 for {order}, attempt {attempt}"),
                    stack: STACK,
                }),
                line: (!card_fails).then(|| {
                    let attributes = vec![("order.id", AnyValue::from(order.clone()))];
                    (Severity::Info, format!("card charged for {order}"), attributes)
                }),
            }));
        }
        if !card_fails {
            for (consumer, operation) in [("shipping", "process orders"), ("email", "send confirmation")] {
                steps.push(Step::Publish {
                    topic: "orders",
                    delay: jitter(120),
                    consumer: Call {
                        callee: self.service(consumer),
                        operation,
                        attributes: vec![
                            KeyValue::new("messaging.system", "kafka"),
                            KeyValue::new("messaging.destination.name", "orders"),
                            KeyValue::new("messaging.operation.type", "process"),
                            KeyValue::new("order.id", order.clone()),
                        ],
                        work: jitter(25),
                        steps: Vec::new(),
                        fault: None,
                        line: Some((Severity::Info, format!("{operation}: {order} done"), Vec::new())),
                    },
                });
            }
            self.service("checkout").orders.add(1, &[KeyValue::new("currency", "EUR")]);
        }
        let line = if card_fails {
            (Severity::Error, format!("order {order} failed after {attempts} attempts to charge the card"))
        } else {
            (Severity::Info, format!("order {order} placed"))
        };
        let mut attributes = http("POST", "/checkout");
        attributes.push(KeyValue::new("order.id", order.clone()));
        Call {
            callee: self.service("checkout"),
            operation: "POST /checkout",
            attributes,
            work: jitter(6),
            steps,
            fault: None,
            line: Some((line.0, line.1, vec![("order.id", AnyValue::from(order))])),
        }
    }
}

fn breaker_is_open(visit: u64) -> bool {
    (visit / 100) % 6 == 4
}

fn request_id(visit: u64) -> String {
    format!("req-{:016x}", visit.wrapping_mul(0x9E37_79B9_7F4A_7C15))
}

fn session_id(visit: u64) -> String {
    format!("s-{:08x}", (visit / 3).wrapping_mul(2_654_435_761) & 0xffff_ffff)
}

fn http(method: &'static str, route: &'static str) -> Vec<KeyValue> {
    vec![
        KeyValue::new("http.request.method", method),
        KeyValue::new("http.route", route),
        KeyValue::new("url.path", route),
    ]
}

/// Around so many milliseconds, seldom much longer.
fn jitter(millis: u64) -> Duration {
    let mut random = rand::rng();
    let factor = random.random_range(0.6..1.5) * if random.random_bool(0.02) { 4.0 } else { 1.0 };
    Duration::from_micros((millis as f64 * 1000.0 * factor) as u64)
}
