//! The pages over a real store and query service, asked through the router as a browser would.

#[path = "../../store/tests/rows/mod.rs"]
mod rows;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use mangru_alerts::{AlertService, AlertSettings};
use mangru_query::{QueryService, QuerySettings};
use mangru_store::{Store, StoreConfig};
use mangru_ui::{Endpoints, UiContext};
use rows::{Log, Point, Span};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tower::ServiceExt as _;

const SECOND: i64 = 1_000_000_000;
const TRACE: [u8; 16] = [0x4b; 16];
const TRACE_HEX: &str = "4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b";
const SERVICES: [&str; 4] = ["frontend", "checkout", "payment", "cart"];

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_nanos() as i64
}

struct Served {
    router: Router,
    store: Arc<Store>,
    alerts: Arc<AlertService>,
    folder: tempfile::TempDir,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Served {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = StoreConfig { data_dir: folder.path().to_path_buf(), ..StoreConfig::default() };
        let store = Store::open(config).await.expect("a store");
        let query = QueryService::new(Arc::clone(&store), QuerySettings::default());
        let settings = AlertSettings::in_folder(folder.path().join("alerts"));
        let alerts = AlertService::open(Arc::clone(&query), settings, now() / 1_000_000).await.expect("alerts");
        let context = UiContext {
            query: Arc::clone(&query),
            alerts: Arc::clone(&alerts),
            intake: Arc::new(|| serde_json::json!({ "refused": { "undecodable": 7 } })),
            endpoints: Endpoints {
                otlp_grpc: "127.0.0.1:14317".to_owned(),
                otlp_http: "127.0.0.1:14318".to_owned(),
                http: "127.0.0.1:14319".to_owned(),
            },
            config_text: "data_dir: ./somewhere\n".to_owned(),
            config_files: mangru_ui::ConfigFiles::new(&folder.path().join("config")),
            version: "0.1.0",
        };
        let router = mangru_ui::router(context).merge(mangru_query::router(query));
        Self { router, store, alerts, folder }
    }

    /// 250 log records, a trace of four spans and some points; one half sealed, the other hot.
    async fn fill(&self) {
        let now = now();
        for half in 0..2_i64 {
            let logs: Vec<Log> = (0..125).map(|n| log(now, half * 125 + n)).collect();
            self.store.append(rows::logs(&logs)).await.expect("logs are kept");
            let spans: Vec<Span> = (0..2).map(|n| span(now, (half * 2 + n) as u8)).collect();
            self.store.append(rows::spans(&spans)).await.expect("spans are kept");
            let points: Vec<Point> = (0..10)
                .map(|n| Point {
                    time: now - (half * 10 + n) * SECOND,
                    name: "queue.depth".to_owned(),
                    series_id: 5,
                    value: n,
                })
                .collect();
            self.store.append(rows::points(&points)).await.expect("points are kept");
            if half == 0 {
                self.store.flush().await.expect("what is hot is sealed");
            }
        }
    }

    async fn ask(&self, address: &str) -> Answer {
        self.ask_with(address, &[]).await
    }

    async fn ask_with(&self, address: &str, headers: &[(header::HeaderName, &str)]) -> Answer {
        let mut request = Request::get(address);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let request = request.body(Body::empty()).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a whole body").to_bytes();
        Answer { status: parts.status, headers: parts.headers, text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    async fn page(&self, address: &str) -> String {
        let answer = self.ask(address).await;
        assert_eq!(answer.status, StatusCode::OK, "{address}: {}", answer.text);
        answer.text
    }
}

fn log(now: i64, n: i64) -> Log {
    Log {
        time: now - n * SECOND / 2 - SECOND,
        service: SERVICES[n as usize % 4].to_owned(),
        severity: if n % 10 == 0 { 17 } else { 9 },
        body: format!("line number{n} connection {}", if n % 10 == 0 { "refused" } else { "accepted" }),
        trace_id: (n < 4).then_some(TRACE),
        span_id: (n < 4).then(|| [n as u8 + 1; 8]),
        attributes: vec![("order.id".to_owned(), format!("O-{n}"))],
        ..Log::default()
    }
}

fn span(now: i64, n: u8) -> Span {
    Span {
        time: now - 10 * SECOND + i64::from(n) * 5_000_000,
        duration_ns: 200_000_000 - i64::from(n) * 20_000_000,
        trace_id: TRACE,
        span_id: [n + 1; 8],
        parent: (n > 0).then_some([n; 8]),
        service: SERVICES[n as usize].to_owned(),
        name: format!("step {n}"),
        events: None,
    }
}

/// The address of the first link whose tag holds these words.
fn link_of(html: &str, words: &str) -> Option<String> {
    let tag =
        html.split("<a ").skip(1).map(|rest| rest.split('>').next().unwrap_or("")).find(|tag| tag.contains(words))?;
    Some(tag.split("href=\"").nth(1)?.split('"').next()?.replace("&amp;", "&"))
}

/// The address of the link whose text ends a tag with these words.
fn link(html: &str, words: &str) -> Option<String> {
    let before = &html[..html.find(&format!(">{words}</a>"))?];
    let href = &before[before.rfind("href=\"")? + 6..];
    Some(href[..href.find('"')?].replace("&amp;", "&"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_store_teaches_how_to_send() {
    let served = Served::start().await;
    let overview = served.page("/").await;
    assert!(overview.contains("Nothing has come in yet"));
    assert!(overview.contains("OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:14317"));
    for address in ["/logs", "/logs?view=patterns", "/traces", "/map", "/services/any", "/metrics/explore", "/status"] {
        let page = served.page(address).await;
        assert!(page.contains("OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:14317"), "{address} teaches how to send");
    }
    served.page("/sql").await;
    assert!(served.page("/logs?live=1").await.contains("LiveTail"), "the live tail waits for the first line");
    assert!(served.page("/metrics/explore?q=vector(1)").await.contains("vector(1)</textarea>"));
}

/// The class of the colour in which a page writes a service's name.
fn colour(html: &str, service: &str) -> Option<String> {
    let before = &html[..html.find(&format!("\">{service}</span>"))?];
    Some(before[before.rfind("class=\"service ")? + 15..].to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_has_one_colour_on_every_screen_and_no_two_share_one() {
    let served = Served::start().await;
    served.fill().await;
    let overview = served.page("/").await;
    let colours: BTreeSet<String> = SERVICES.iter().filter_map(|service| colour(&overview, service)).collect();
    assert_eq!(colours.len(), SERVICES.len(), "{colours:?}");
    for address in ["/logs", &format!("/traces/{TRACE_HEX}"), &format!("/story/{TRACE_HEX}")] {
        let page = served.page(address).await;
        for service in SERVICES {
            assert_eq!(colour(&page, service), colour(&overview, service), "{service} on {address}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_says_how_long_it_took() {
    let answer = Served::start().await.ask("/").await;
    let said = answer.headers.get("server-timing").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let took = said.strip_prefix("page;dur=").and_then(|text| text.parse::<f64>().ok());
    assert!(took.is_some_and(|took| took > 0.0), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_screen_shows_what_is_stored() {
    let served = Served::start().await;
    served.fill().await;
    let overview = served.page("/").await;
    for service in SERVICES {
        assert!(overview.contains(&format!(">{service}</span>")), "{service} is on the overview");
    }
    let logs = served.page("/logs?q=refused").await;
    assert!(logs.contains("25 of 25 matching rows"), "every tenth line");
    assert!(logs.contains("<mark>refused</mark>"));
    let has_error_bars = logs.split("<path").any(|path| {
        let tag = path.split('>').next().unwrap_or("");
        tag.contains("bar sev-error") && tag.contains("d=\"M")
    });
    assert!(has_error_bars, "the bars have the colour of their severity");
    assert!(!served.page("/logs").await.contains("not complete"), "the size of a page is no limit that cuts");
    assert!(served.page("/logs?q=order.id:O-17").await.contains("number17 "));
    let trace = served.page(&format!("/traces/{TRACE_HEX}?span=0202020202020202")).await;
    assert!(
        trace.contains("4 spans") && trace.contains("Parent: ") && trace.contains("number1 "),
        "a trace with its logs"
    );
    assert!(served.page("/traces?q=service:payment").await.contains(&format!("/traces/{TRACE_HEX}")));
    let story = served.page(&format!("/story/{TRACE_HEX}")).await;
    assert!(story.contains("step 3") && story.contains("number2 "), "spans and logs on one time line");
    let metrics = served.page("/metrics/explore?name=queue.depth").await;
    assert!(
        metrics.contains(">queue_depth</textarea>") && metrics.contains("1 series, a value every"),
        "a metric by its name"
    );
    let sql = served.page("/sql?q=SELECT+count(*)+AS+n+FROM+logs").await;
    assert!(sql.contains(">250</td>"), "SQL counts what is hot and what is sealed");
    let status = served.page("/status").await;
    assert!(status.contains("undecodable") && status.contains("data_dir: ./somewhere"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_map_leads_to_services_and_to_calls() {
    let served = Served::start().await;
    served.fill().await;
    let map = served.page("/map").await;
    for service in SERVICES {
        assert!(map.contains(&format!("href=\"/services/{service}\"")), "{service} is a node");
    }
    let calls = link_of(&map, "data-from=\"").expect("an edge leads to its calls");
    let found = served.page(&calls).await;
    assert!(found.contains(&format!("/traces/{TRACE_HEX}")), "{calls} finds the trace with the call");
    let focus = served.page("/map?focus=frontend&hops=1").await;
    assert!(focus.contains("/services/checkout") && !focus.contains("href=\"/services/cart\""), "one hop away");
    assert!(served.page("/map?q=service%3A(").await.contains("role=\"alert\""));
    assert!(served.page("/map?q=service%3Anobody").await.contains("No call in this range"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_shown_with_what_surrounds_it() {
    let served = Served::start().await;
    served.fill().await;
    let page = served.page("/services/checkout").await;
    for told in ["Requests", "Errors", "Duration", "Latency of requests", "Operations", "step 1", "Called by"] {
        assert!(page.contains(told), "the page tells of {told}");
    }
    assert!(
        page.contains("href=\"/services/frontend\"") && page.contains("href=\"/services/payment\""),
        "callers and callees"
    );
    assert!(page.contains(&format!("/traces/{TRACE_HEX}?span=")), "an example leads to its trace");
    let frontend = served.page("/services/frontend").await;
    assert!(frontend.contains("number0 connection refused"), "its error logs");
    assert!(served.page("/services/nobody%3Cscript%3E").await.contains("Nothing of this service"));
}

/// Rules of a search and of PromQL, both of which hold at once.
const RULES: &str = "
groups:
- name: shop
  query_offset: 0s
  rules:
  - alert: Refused
    logs: 'refused'
    count: '> 2'
    window: 15m
    by: [service.name]
    annotations: {summary: '{{ $value }} connections were refused'}
  - alert: DeepQueue
    expr: max_over_time(queue_depth[1m]) > 1
    labels: {job: shop/frontend}
";

#[tokio::test(flavor = "multi_thread")]
async fn alerts_are_on_the_page_and_on_the_charts_of_what_they_are_about() {
    let served = Served::start().await;
    served.fill().await;
    let now_ms = now() / 1_000_000;
    served.alerts.write_rules("shop", RULES, now_ms).await.expect("good rules");
    let fired = served.alerts.evaluate_at(&served.alerts.rules().groups, now_ms).await;
    assert_eq!(fired.len(), 3, "frontend and payment refuse, and the queue is deep: {fired:?}");
    let payment = served.page("/services/payment").await;
    assert!(payment.contains("1 alert firing") && payment.contains("connections were refused"), "{payment}");
    assert!(!payment.contains("DeepQueue"), "what is of another service is not told here");
    let rule = link(&payment, "Refused").expect("the way to the rule");
    assert!(rule.starts_with("/alerts/") && rule.contains("alert="), "{rule}");
    assert!(served.page(&rule).await.contains("aria-current=\"true\""), "the rule's screen opens at the alert");
    let marks = |page: &str| page.matches("class=\"event fired\"").count();
    assert_eq!(marks(&payment), 3, "a mark on each of the charts of rate, errors and durations");
    assert!(payment.contains("Refused (payment) fires"));
    let frontend = served.page("/services/frontend").await;
    assert!(frontend.contains("2 alerts firing") && frontend.contains("DeepQueue (frontend) fires"));
    assert_eq!(marks(&served.page("/services/cart").await), 0);
    assert_eq!(marks(&served.page("/metrics/explore?q=avg(queue_depth)").await), 1, "a rule asks for that metric");
    assert_eq!(marks(&served.page("/metrics/explore?q=up").await), 0);
    let yaml = "title: Queue\npanels:\n  - title: Depth\n    queries:\n      - promql: queue_depth\n";
    let folder = served.folder.path().join("config/dashboards");
    std::fs::create_dir_all(&folder).expect("made");
    std::fs::write(folder.join("queue.yaml"), yaml).expect("written");
    assert_eq!(marks(&served.page("/dashboards/queue").await), 1, "a panel that asks for that metric");
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_are_compared_and_seen_from_all_sides() {
    let served = Served::start().await;
    served.fill().await;
    let all = served.page("/traces?spans=any").await;
    assert_eq!(all.matches("class=\"dot\"").count(), 4, "every span is a point");
    let slow = served.page("/traces?spans=any&r_min=150ms&r_max=1s").await;
    assert!(
        slow.contains("class=\"region\"") && slow.contains("3 spans against 1"),
        "the region is compared with the rest"
    );
    assert!(slow.contains("Show these traces alone"));
    let roots = served.page("/traces").await;
    assert_eq!(roots.matches("class=\"dot\"").count(), 1, "the root alone");
    let flame = served.page(&format!("/traces/{TRACE_HEX}?view=flame")).await;
    assert!(flame.contains("class=\"flame\"") && flame.contains("Operations by their own time"));
    let calls = served.page(&format!("/traces/{TRACE_HEX}?view=calls")).await;
    assert!(calls.contains("data-node=\"3\"") && calls.contains("frontend → checkout"), "its services as a graph");
}

#[tokio::test(flavor = "multi_thread")]
async fn paging_shows_each_row_once() {
    let served = Served::start().await;
    served.fill().await;
    let mut address = "/logs?q=line&start=-1h".to_owned();
    let mut seen = Vec::new();
    for _ in 0..10 {
        let html = served.page(&address).await;
        let numbers =
            html.split("line</mark> number").skip(1).filter_map(|rest| rest.split(' ').next()?.parse::<u32>().ok());
        seen.extend(numbers);
        match link(&html, "Older ⟩") {
            Some(older) => address = older,
            None => break,
        }
    }
    assert_eq!(seen, (0..250).collect::<Vec<_>>(), "newest first, none twice, none left out");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_opens_with_its_neighbours_and_hands_over() {
    let served = Served::start().await;
    served.fill().await;
    let list = served.page("/logs?q=number2").await;
    let href = list
        .split("<td class=\"time\"><a href=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("a row's link");
    let opened = served.page(href.replace("&amp;", "&").split('#').next().expect("an address")).await;
    assert!(
        opened.contains("id=\"row\"") && opened.contains("Around it"),
        "the row in detail with the lines around it"
    );
    assert!(opened.contains(&format!("/traces/{TRACE_HEX}?span=0303030303030303")), "and the way to its trace");
    // The same address still finds the row when the search no longer holds it.
    let elsewhere =
        opened.contains("order.id:O-2").then(|| href.replace("&amp;", "&").replace("q=number2", "q=number9"));
    let elsewhere = served.page(elsewhere.expect("a link that includes").split('#').next().expect("an address")).await;
    assert!(elsewhere.contains("number2 connection"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_query_is_explained_and_kept() {
    let served = Served::start().await;
    served.fill().await;
    for path in ["/logs", "/traces"] {
        let html = served.page(&format!("{path}?q=service%3A(a+OR")).await;
        assert!(html.contains("role=\"alert\"") && html.contains("class=\"caret\""), "{path} points at the error");
        assert!(html.contains("value=\"service:(a OR\""), "{path} keeps the query");
    }
    assert!(served.page("/sql?q=DROP+TABLE+logs").await.contains("role=\"alert\""));
    let live = served.page("/logs?live=1&q=service%3A(a+OR").await;
    assert!(live.contains("class=\"caret\"") && !live.contains("LiveTail"), "a broken search is not followed");
    let sql = served.page("/sql?q=SELECT+1%0AFORM+logs").await;
    assert!(sql.contains("FORM logs\n     ^") && !sql.contains("ParserError"), "{sql}");
    let sql = served.page("/sql?q=SELECT+*+FROM+nope").await;
    assert!(sql.contains("\n              ^") && !sql.contains("datafusion"), "{sql}");
    assert_eq!(served.ask("/traces/nonsense").await.status, StatusCode::NOT_FOUND);
    assert_eq!(served.ask(&format!("/traces/{}", "0a".repeat(16))).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_result_is_exported() {
    let served = Served::start().await;
    served.fill().await;
    let ndjson = served.ask("/logs/export?q=line&start=-1h&format=ndjson").await;
    assert_eq!(ndjson.status, StatusCode::OK);
    assert_eq!(ndjson.text.lines().filter(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()).count(), 250);
    let csv = served.ask("/logs/export?q=refused&format=csv").await;
    assert_eq!(csv.text.lines().count(), 26, "a head and 25 rows");
    assert_eq!(served.ask("/logs/export?q=(&format=csv").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_are_guarded_and_assets_are_kept() {
    let served = Served::start().await;
    let page = served.ask("/status").await;
    let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().expect("text");
    assert!(policy.contains("default-src 'self'") && !policy.contains("unsafe-inline"));
    assert_eq!(page.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    let folder = page.text.split("/assets/").nth(1).and_then(|rest| rest.split('/').next()).expect("a version");
    for (name, content_type) in [
        ("mangru_ui_bg.wasm", "application/wasm"),
        ("mangru_ui.js", "text/javascript; charset=utf-8"),
        ("mangru.css", "text/css; charset=utf-8"),
    ] {
        let asset =
            served.ask_with(&format!("/assets/{folder}/{name}"), &[(header::ACCEPT_ENCODING, "gzip, br")]).await;
        assert_eq!(asset.headers[header::CONTENT_TYPE], content_type);
        assert!(asset.headers[header::CACHE_CONTROL].to_str().expect("text").contains("immutable"));
        assert_eq!(asset.headers.contains_key(header::CONTENT_ENCODING), content_type == "application/wasm");
    }
    assert_eq!(served.ask("/assets/0/nothing.js").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn refresh_and_settings_work_without_scripts() {
    let served = Served::start().await;
    let page = served.ask("/logs?refresh=10").await;
    assert!(!page.headers.contains_key("refresh"), "with scripts the page waits for those who type");
    assert!(page.text.contains("<noscript><meta http-equiv=\"refresh\" content=\"10\"></noscript>"));
    assert!(page.text.contains("data-refresh=\"10\""));
    assert!(!served.ask("/?refresh=1").await.text.contains("http-equiv=\"refresh\""), "only the intervals offered");
    let dark = served.ask_with("/", &[(header::COOKIE, "zone=utc; theme=dark")]).await.text;
    assert!(dark.contains("data-theme=\"dark\"") && dark.contains("data-zone=\"utc\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_leads_nowhere_says_so_to_people_and_to_programs() {
    let served = Served::start().await;
    served.fill().await;
    let html = [(header::ACCEPT, "text/html,*/*"), (header::ACCEPT_LANGUAGE, "ko")];
    for address in ["/nope", "/services/", "/services", "/api/v1/nope"] {
        let page = served.ask_with(address, &html).await;
        assert_eq!(page.status, StatusCode::NOT_FOUND, "{address}");
        assert!(
            page.text.contains("lang=\"ko\"") && page.text.contains("href=\"/logs"),
            "{address} has the navigation"
        );
    }
    let program = served.ask_with("/nope", &[(header::ACCEPT, "*/*")]).await;
    assert_eq!(
        (program.status, program.headers[header::CONTENT_TYPE].to_str().ok()),
        (StatusCode::NOT_FOUND, Some("application/json"))
    );
    assert!(program.text.contains("there is nothing at /nope"));
    assert!(served.page("/services?name=..").await.contains(">..</span>"), "a name that no path can carry");
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_show_the_severity_and_closing_leads_back_to_the_row() {
    let served = Served::start().await;
    served.fill().await;
    let logs = served.page("/logs?q=refused&col=severity_number&col=level").await;
    assert!(logs.contains("<td class=\"mono\">17</td>") && logs.contains("<td class=\"mono\">error</td>"));
    let row = link_of(&logs, "data-row").expect("a row");
    let id = row.split(['?', '&']).find_map(|pair| pair.strip_prefix("row=")).expect("its id").to_owned();
    let open = served.page(row.split('#').next().unwrap_or_default()).await;
    assert!(link_of(&open, "data-close").expect("a way to close it").ends_with(&format!("#closed-{id}")));
}

/// Serves the pages with lines that keep coming, to be looked at: `MANGRU_UI_SERVE=127.0.0.1:8080 cargo test … serve`.
#[tokio::test(flavor = "multi_thread")]
async fn serve_where_asked() {
    let Ok(address) = std::env::var("MANGRU_UI_SERVE") else { return };
    let served = Served::start().await;
    served.fill().await;
    let listener = tokio::net::TcpListener::bind(&address).await.expect("a free port");
    let store = Arc::clone(&served.store);
    tokio::spawn(async move {
        for n in 0_i64.. {
            let line = Log { time: now(), body: format!("fresh line {n}"), ..log(now(), n) };
            store.append(rows::logs(&[line])).await.expect("a line is kept");
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
    });
    axum::serve(listener, served.router.clone()).await.expect("served");
}
