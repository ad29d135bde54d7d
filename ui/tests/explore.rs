//! The screens on which things are looked for (patterns, completion, metrics, dashboards, SQL), over a real store.

#[path = "../../store/tests/rows/mod.rs"]
mod rows;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use http_body_util::BodyExt as _;
use mangru_alerts::{AlertService, AlertSettings};
use mangru_query::{QueryService, QuerySettings};
use mangru_store::{Store, StoreConfig};
use mangru_ui::{ConfigFiles, Endpoints, UiContext};
use rows::{Log, Point, Span};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tower::ServiceExt as _;

const SECOND: i64 = 1_000_000_000;

struct Served {
    router: Router,
    config: PathBuf,
    _folder: tempfile::TempDir,
}

impl Served {
    /// 200 log lines of two patterns, one of them new; 20 spans; a gauge.
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = folder.path().join("config");
        let store_config = StoreConfig { data_dir: folder.path().join("data"), ..StoreConfig::default() };
        let store = Store::open(store_config).await.expect("a store");
        // Everything is slow, so that what is slow can be seen.
        let settings = QuerySettings { slow: Duration::ZERO, ..QuerySettings::default() };
        let query = QueryService::new(Arc::clone(&store), settings);
        let settings = AlertSettings::in_folder(folder.path().join("alerts"));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as i64;
        let alerts = AlertService::open(Arc::clone(&query), settings, now / 1_000_000).await.expect("alerts");
        let context = UiContext {
            query: Arc::clone(&query),
            alerts,
            intake: Arc::new(|| serde_json::json!({})),
            endpoints: Endpoints { otlp_grpc: String::new(), otlp_http: String::new(), http: String::new() },
            config_text: String::new(),
            config_files: ConfigFiles::new(&config),
            version: "0.1.0",
        };
        let log = |n: i64| Log {
            time: now - n * 2 * SECOND - SECOND,
            service: if n % 2 == 0 { "checkout" } else { "payment" }.to_owned(),
            severity: if n < 20 { 17 } else { 9 },
            body: if n < 20 {
                format!("card {n} was declined by bank{n}")
            } else {
                format!("request {n} answered in {n} ms")
            },
            trace_id: None,
            span_id: None,
            attributes: vec![("order.id".to_owned(), format!("O-{n}"))],
            ..Log::default()
        };
        store.append(rows::logs(&(0..200).map(log).collect::<Vec<_>>())).await.expect("kept");
        let span = |n: u8| Span {
            time: now - i64::from(n) * 10 * SECOND,
            duration_ns: i64::from(n + 1) * 10_000_000,
            trace_id: [n; 16],
            span_id: [n + 1; 8],
            parent: None,
            service: "checkout".to_owned(),
            name: format!("step {}", n % 3),
            events: None,
        };
        store.append(rows::spans(&(0..20).map(span).collect::<Vec<_>>())).await.expect("kept");
        let point =
            |n: i64| Point { time: now - n * 10 * SECOND, name: "queue.depth".to_owned(), series_id: 5, value: n % 7 };
        store.append(rows::points(&(0..60).map(point).collect::<Vec<_>>())).await.expect("kept");
        store.flush().await.expect("sealed");
        Self { router: mangru_ui::router(context), config, _folder: folder }
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.config.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, text).expect("written");
    }

    async fn answer(&self, request: Request<Body>) -> (StatusCode, String) {
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a whole body").to_bytes();
        // Where a piece of a page may be missing, a comment holds its place.
        (parts.status, String::from_utf8_lossy(&bytes).replace("<!>", ""))
    }

    async fn page(&self, address: &str) -> String {
        let request = Request::get(address).body(Body::empty()).expect("a request");
        let (status, text) = self.answer(request).await;
        assert_eq!(status, StatusCode::OK, "{address}: {text}");
        text
    }

    async fn post(&self, address: &str, fields: &[(&str, &str)]) -> String {
        let body: Vec<String> = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let request = Request::post(address)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(body.join("&")))
            .expect("a request");
        let (status, text) = self.answer(request).await;
        assert_eq!(status, StatusCode::OK, "{address}: {text}");
        text
    }

    async fn completions(&self, language: &str, text: &str) -> Vec<String> {
        let text = encoded(text);
        let found = self.page(&format!("/complete?in={language}&signal=logs&start=-1h&text={text}")).await;
        let found: serde_json::Value = serde_json::from_str(&found).expect("JSON");
        let shown = |item: &serde_json::Value| item["shown"].as_str().expect("a text").to_owned();
        found["items"].as_array().expect("a list").iter().map(shown).collect()
    }
}

/// A text as a piece of an address or a form.
fn encoded(text: &str) -> String {
    let escaped: Vec<String> = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
    escaped.concat()
}

/// The addresses of links whose tag holds these words.
fn hrefs<'a>(html: &'a str, tag: &str) -> Vec<String> {
    let found = html.split("<a ").skip(1).filter_map(|rest| rest.split('>').next()).filter(|inner| inner.contains(tag));
    let href = |inner: &'a str| inner.split("href=\"").nth(1).and_then(|rest| rest.split('"').next());
    found.filter_map(href).map(|href| href.replace("&amp;", "&")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_are_clustered_to_patterns_that_lead_to_their_rows() {
    let served = Served::start().await;
    let html = served.page("/logs?view=patterns&start=-10m&new=4").await;
    assert!(html.contains("‹*›</span> was declined by "), "the template of the failures: {html}");
    assert_eq!(html.matches("class=\"new\">").count(), 1, "the failures came in the last quarter alone");
    let links = hrefs(&html, "class=\"template\"");
    assert_eq!(links.len(), 2, "two patterns: {links:?}");
    let declined = links.iter().find(|link| link.contains("declined")).expect("a search for the pattern");
    let found = served.page(declined).await;
    assert!(found.contains("20 of 20 matching rows"), "the search of a pattern finds its rows");
    let without = hrefs(&html, "aria-label=\"Without this pattern\"");
    let without = without.iter().find(|link| link.contains("declined")).expect("a search without it");
    assert_eq!(hrefs(&served.page(without).await, "class=\"template\"").len(), 1, "and the rest without it");
}

#[tokio::test(flavor = "multi_thread")]
async fn facets_include_exclude_and_take_back() {
    let served = Served::start().await;
    let html = served.page("/logs?start=-1h&facet=order.id").await;
    assert!(
        html.contains("data-alt=\"/logs?start=-1h&amp;facet=order.id&amp;q=-service.name%3Acheckout\""),
        "Alt excludes"
    );
    assert!(html.contains(">more values</a>"), "there are more orders than are shown");
    let asked = served.page("/logs?start=-1h&q=service.name%3Acheckout+answered").await;
    assert!(asked.contains("class=\"is-asked\"") && asked.contains("q=answered\""), "what is asked for can be dropped");
    let all = served.page("/logs?start=-1h&facet=order.id&all=order.id").await;
    assert_eq!(
        all.matches("order.id%3AO-").count(),
        300,
        "a hundred values, each to include, and to exclude by Alt or by a link"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn saved_searches_are_listed_and_their_faults_told() {
    let served = Served::start().await;
    assert!(served.page("/logs").await.contains("None yet."));
    served.write("searches/cards.yaml", "title: Declined cards\nquery: declined\ncolumns: [order.id]\nrange: -1h\n");
    let html = served.page("/logs?q=card&col=order.id").await;
    let links = hrefs(&html, "declined");
    assert!(links.contains(&"/logs?start=-1h&q=declined&col=order.id".to_owned()), "{links:?}");
    assert!(served.page("/logs?start=-1h&q=declined&col=order.id").await.contains("20 of 20 matching rows"));
    served.write("searches/cards.yaml", "title: Declined cards\nquery: declined\nrange: whenever\n");
    let html = served.page("/logs").await;
    assert!(html.contains("cards.yaml: line 3: range: `whenever`"), "the fault with file, line and key");
    assert!(html.contains(">Declined cards</a>"), "what it said before is still there");
    let file = served.page("/logs/saved.yaml?title=Mine&q=level%3Aerror&col=a").await;
    assert_eq!(file, "title: Mine\nquery: 'level:error'\ncolumns: [a]\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_values_metrics_labels_and_columns_are_completed() {
    let served = Served::start().await;
    assert!(served.completions("search", "x orde").await.contains(&"order.id".to_owned()));
    assert_eq!(served.completions("search", "x service:che").await, ["checkout"]);
    assert_eq!(served.completions("search", "-level:e").await, ["error"]);
    assert_eq!(served.completions("promql", "sum(queue").await, ["queue_depth"]);
    assert!(served.completions("sql", "SELECT severity_n").await.contains(&"severity_number".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn promql_is_drawn_and_its_faults_are_pointed_at() {
    let served = Served::start().await;
    let list = served.page("/metrics/explore?start=-1h").await;
    assert!(list.contains(">queue.depth</a>") && list.contains("1 of 1 metrics, 1 series, 60 points"));
    let html = served.page("/metrics/explore?start=-10m&q=queue_depth&q=queue_depth+%2B+1").await;
    assert_eq!(html.matches("class=\"line svc-").count(), 2, "a line for each query");
    assert!(html.contains("d=\"M") && html.contains("<textarea"));
    let broken = served.page("/metrics/explore?q=queue_depth&q=rate(queue_depth").await;
    assert!(
        broken.contains("class=\"caret\">rate(queue_depth\n    ^</pre>"),
        "the caret stands below the fault: {broken}"
    );
    assert!(broken.contains("class=\"line svc-"), "the other query is still drawn");
    let table = served.page("/metrics/explore?start=-10m&q=queue_depth&view=table").await;
    assert!(table.contains("Newest value") && table.contains(">queue_depth</td>"));
}

const DASHBOARD: &str = "title: Shop
range: -1h
variables:
  - name: service
    field: service.name
    signal: logs
    default: payment
panels:
  - title: Lines
    kind: stat
    value: sum
    queries:
      - search: 'service:$service'
  - title: Depth
    queries:
      - promql: queue_depth
  - title: Broken
    queries:
      - sql: SELECT nothing FROM logs
  - title: Declined
    kind: logs
    queries:
      - search: declined
";

#[tokio::test(flavor = "multi_thread")]
async fn a_dashboard_is_a_file_that_is_read_again_when_it_changes() {
    let served = Served::start().await;
    served.write("dashboards/shop.yaml", DASHBOARD);
    assert!(served.page("/dashboards").await.contains("href=\"/dashboards/shop\""));
    let html = served.page("/dashboards/shop").await;
    assert!(html.contains("class=\"stat-value\">100<"), "a hundred lines of payment: {html}");
    assert!(html.contains("class=\"line svc-0"), "the metric is drawn");
    assert!(html.contains("was declined by"), "log lines are there");
    assert_eq!(html.matches("role=\"alert\"").count(), 1, "what is wrong with one panel is shown in it alone");
    assert!(
        hrefs(&html, "class=\"explore\"").contains(&"/metrics/explore?start=-1h&q=queue_depth&view=line".to_owned())
    );
    let other = served.page("/dashboards/shop?var-service=checkout&start=-1m").await;
    assert!(!other.contains("class=\"stat-value\">100<"), "the choice and the range of the address count");

    served.write("dashboards/shop.yaml", &DASHBOARD.replace("    kind: stat\n", "    kind: stat\n    width: 40\n"));
    let html = served.page("/dashboards/shop").await;
    assert!(
        html.contains("line 11: panels[0].width: 40 columns, allowed are 1 to 12"),
        "the fault with its line: {html}"
    );
    assert!(html.contains("class=\"stat-value\">100<"), "what it said before is shown");
    served.write("dashboards/shop.yaml", &DASHBOARD.replace("title: Shop", "title: The shop"));
    assert!(served.page("/dashboards/shop").await.contains("The shop"));
    for name in ["service", "host", "mangru"] {
        let html = served.page(&format!("/dashboards/{name}")).await;
        assert!(html.contains("class=\"dash\"") && !html.contains("role=\"alert\""), "{name} is ready-made: {html}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dashboard_is_made_beside_its_picture_and_taken_over_from_grafana() {
    let served = Served::start().await;
    let html = served.post("/dashboards/edit", &[("yaml", DASHBOARD), ("start", "-1h")]).await;
    assert!(html.contains("title: Shop") && html.contains("class=\"stat-value\">100<"), "text and picture");
    let html = served.post("/dashboards/edit", &[("yaml", "title: A\npanels:\n  - widht: 3\n</textarea><b>")]).await;
    assert!(html.contains("role=\"alert\"") && !html.contains("<b>"), "a fault, and the text stays a text");
    assert!(!served.config.exists(), "nothing is written");
    let grafana = r#"{"title":"Queues","panels":[
        {"type":"timeseries","title":"Depth","gridPos":{"w":12,"h":8},"targets":[{"expr":"queue_depth","legendFormat":"{{job}}"}]},
        {"type":"geomap","title":"World"}]}"#;
    let html = served.post("/dashboards/import", &[("json", grafana), ("start", "-1h")]).await;
    assert!(html.contains("promql: queue_depth") && html.contains("class=\"line svc-0"), "{html}");
    assert!(html.contains("panel “World”: panels of type geomap are not known"));
    assert!(served.post("/dashboards/import", &[("json", "{")]).await.contains("this is not JSON"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sql_is_shown_as_table_chart_and_plan() {
    let served = Served::start().await;
    let sql = "SELECT+service_name%2C+count(*)+AS+n+FROM+logs+GROUP+BY+1+ORDER+BY+1";
    assert!(served.page(&format!("/sql?start=-1h&q={sql}")).await.contains(">100</td>"));
    let chart = served.page(&format!("/sql?start=-1h&view=chart&q={sql}")).await;
    assert_eq!(chart.matches("class=\"bar-fill\"").count(), 2, "a bar for each row");
    let minutes = "SELECT+date_bin(INTERVAL+%271+minute%27%2C+time)+AS+t%2C+count(*)+AS+n+FROM+logs+GROUP+BY+1";
    assert!(served.page(&format!("/sql?start=-1h&view=chart&q={minutes}")).await.contains("class=\"line svc-0"));
    let plan = served.page(&format!("/sql?start=-1h&view=explain&q={sql}")).await;
    assert!(plan.contains("logical plan") && plan.contains("class=\"plan\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn status_tells_slow_queries_and_how_many_values_fields_have() {
    let served = Served::start().await;
    served.page("/logs?q=declined").await;
    let status = served.page("/status").await;
    assert!(status.contains(">/logs</td>") && status.contains("q=declined</td>"), "the page that was asked: {status}");
    let fields = served.page("/status/fields?start=-1h").await;
    let row = fields.split("<tr>").find(|row| row.contains(">order.id</th>")).expect("the field");
    assert!(row.contains(">200</td>"), "200 orders: {row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gallery_shows_every_component() {
    let served = Served::start().await;
    let html = served.page("/_gallery").await;
    for name in ["Tokens", "Controls", "Search", "Messages", "Table", "Plot", "Sparkline", "Heat map", "Histogram"] {
        assert!(html.contains(&format!(">{name}</h2>")), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_speak_the_language_of_the_browser_or_the_chosen_one() {
    let served = Served::start().await;
    let ask = async |accepted: &str, cookie: &str| {
        let request = Request::get("/logs?view=patterns&start=-1h")
            .header(header::ACCEPT_LANGUAGE, accepted)
            .header(header::COOKIE, cookie)
            .body(Body::empty())
            .expect("a request");
        served.answer(request).await.1
    };
    let korean = ask("ko-KR,ko;q=0.9,en;q=0.8", "").await;
    assert!(
        korean.contains("<html lang=\"ko\"")
            && korean.contains(">대시보드</a>")
            && korean.contains("200줄에서 패턴 2개")
    );
    assert!(ask("ko", "lang=en").await.contains(">Dashboards</a>"), "a choice counts for more");
    assert!(ask("de", "").await.contains("<html lang=\"en\""), "English for the others");
    let request = Request::get("/settings?lang=ko&back=%2Flogs").body(Body::empty()).expect("a request");
    let response = served.router.clone().oneshot(request).await.expect("an answer");
    assert!(response.headers()[header::SET_COOKIE].to_str().expect("text").starts_with("lang=ko;"));
}
