//! Alerts of the real binary, from a log line over OTLP to receivers that listen on this machine: with outages of the receivers and
//! with the process killed.

mod harness;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use harness::{Server, logs};
use serde_json::{Value as Json, json};
use std::collections::HashSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A request that a receiver got: path, headers of interest, body.
#[derive(Clone, Debug)]
struct Got {
    path: String,
    authorization: String,
    idempotency_key: String,
    body: Json,
}

#[derive(Clone, Default)]
struct Heard {
    all: Arc<Mutex<Vec<Got>>>,
    /// Requests that are answered with "try again later".
    refusals: Arc<Mutex<u32>>,
}

/// An HTTP server that takes whatever is posted.
struct Receiver {
    address: String,
    heard: Heard,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    async fn start(refusals: u32) -> Self {
        Self::start_on("127.0.0.1:0", refusals).await
    }

    async fn start_on(address: &str, refusals: u32) -> Self {
        let heard = Heard { refusals: Arc::new(Mutex::new(refusals)), ..Heard::default() };
        let listener = tokio::net::TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let router = Router::new().fallback(take).with_state(heard.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("serves") });
        Self { address, heard, task }
    }

    fn got(&self) -> Vec<Got> {
        self.heard.all.lock().expect("lock").clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn take(State(heard): State<Heard>, request: Request) -> (StatusCode, String) {
    let (authorization, idempotency_key) = {
        let headers = request.headers();
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        (text("authorization"), text("idempotency-key"))
    };
    let path = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let bytes = axum::body::to_bytes(request.into_body(), 1 << 20).await.expect("a body");
    {
        let mut refusals = heard.refusals.lock().expect("lock");
        if *refusals > 0 {
            *refusals -= 1;
            return (StatusCode::SERVICE_UNAVAILABLE, "later".to_owned());
        }
    }
    let body = serde_json::from_slice(&bytes).unwrap_or(Json::Null);
    heard.all.lock().expect("lock").push(Got { path, authorization, idempotency_key, body });
    (StatusCode::OK, json!({ "ok": true }).to_string())
}

/// Waits until something is so.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_nanos() as u64
}

/// A rule that fires a second after a declined card was logged, and two minutes long.
const RULES: &str = "
groups:
- name: shop
  interval: 1s
  query_offset: 0s
  rules:
  - alert: CardDeclined
    logs: 'service:payment \"card declined\"'
    count: '> 2'
    window: 2m
    by: [service.name]
    labels: {severity: page}
    annotations: {summary: '{{ $value }} cards were declined'}
";

async fn decline_cards(server: &Server) {
    let lines: Vec<_> = (0..4)
        .map(|n| {
            (format!("card declined for order {n}"), vec![("trace_id", "0af7651916cd43dd8448eb211c80319c".to_owned())])
        })
        .collect();
    let (status, answer) = server.export("logs", &logs("payment", now_ns() - 1_000_000_000, &lines)).await;
    assert_eq!(status, 200, "{answer}");
}

/// A server with these rules and routes; the folder holds its data.
fn start(folder: &Path, rules: &str, notify: &str) -> Server {
    std::fs::write(folder.join("rules.yml"), rules).expect("written");
    std::fs::write(folder.join("notify.yml"), notify).expect("written");
    again(folder)
}

fn again(folder: &Path) -> Server {
    let (rules, notify) = (folder.join("rules.yml"), folder.join("notify.yml"));
    let environment = [
        ("MANGRU_ALERTS_RULES", rules.to_str().expect("text")),
        ("MANGRU_ALERTS_NOTIFY", notify.to_str().expect("text")),
        ("MANGRU_ALERTS_EXTERNAL_URL", "https://mangru.example"),
    ];
    Server::start(&folder.join("data"), &environment)
}

fn routes(receivers: &str) -> String {
    format!(
        "route: {{receiver: all, group_by: [alertname], group_wait: 0s, group_interval: 2s, repeat_interval: 1h}}\n\
         receivers:\n- name: all\n{receivers}"
    )
}

/// A mail server, ended when it is dropped.
struct Mailbox {
    child: Child,
    port: u16,
    mails: Arc<Mutex<Vec<Json>>>,
}

impl Mailbox {
    fn start(python: &Path, refusals: u32) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/mailbox.py");
        let mut child = Command::new(python)
            .arg(script)
            .arg(refusals.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the mail server starts");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let port = lines.next().expect("a port").expect("text").trim().parse().expect("a number");
        let mails = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&mails);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                kept.lock().expect("lock").push(serde_json::from_str(&line).expect("JSON"));
            }
        });
        Self { child, port, mails }
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_receiver_is_told_the_value_the_evidence_and_the_screen() {
    let folder = tempfile::tempdir().expect("folder");
    let receiver = Receiver::start(0).await;
    let base = format!("http://{}", receiver.address);
    let receivers = format!(
        "  webhook_configs: [{{url: '{base}/hook', http_config: {{basic_auth: {{username: u, password: p}}}}}}]\n  \
         slack_configs: [{{api_url: '{base}/slack', channel: '#shop', send_resolved: true}}]\n  \
         pagerduty_configs: [{{url: '{base}/pagerduty', routing_key: key}}]\n  \
         opsgenie_configs: [{{api_url: '{base}/opsgenie', api_key: genie, priority: P1}}]\n  \
         msteams_configs: [{{webhook_url: '{base}/teams'}}]\n  \
         msteamsv2_configs: [{{webhook_url: '{base}/card'}}]\n  \
         telegram_configs: [{{api_url: '{base}', bot_token: bot, chat_id: -5}}]\n  \
         alertmanager_configs: [{{url: '{base}/am'}}]\n"
    );
    let server = start(folder.path(), RULES, &routes(&receivers));
    decline_cards(&server).await;
    let got = until("every receiver's notification", async || Some(receiver.got()).filter(|got| got.len() >= 8)).await;
    let of = |path: &str| {
        got.iter().find(|got| got.path == path).unwrap_or_else(|| panic!("nothing came to {path}: {got:?}"))
    };

    let hook = of("/hook");
    assert_eq!(hook.authorization, "Basic dTpw");
    assert_eq!(hook.idempotency_key.len(), 32);
    let body = &hook.body;
    assert_eq!((&body["version"], &body["status"], &body["receiver"]), (&json!("4"), &json!("firing"), &json!("all")));
    assert_eq!(body["groupKey"], "{}:{alertname=\"CardDeclined\"}");
    let alert = &body["alerts"][0];
    assert_eq!(alert["labels"], json!({"alertname": "CardDeclined", "service_name": "payment", "severity": "page"}));
    assert_eq!((&alert["annotations"]["summary"], &alert["value"]), (&json!("4 cards were declined"), &json!("4")));
    let evidence = &alert["evidence"][0];
    assert!(evidence["text"].as_str().expect("text").starts_with("card declined for order"), "{evidence}");
    assert_eq!(evidence["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    let url = alert["generatorURL"].as_str().expect("an address");
    assert!(url.starts_with("https://mangru.example/alerts/") && url.contains("&start=20"), "{url}");
    // The screen is there.
    let path = url.strip_prefix("https://mangru.example").expect("a path");
    let page = reqwest::get(format!("{}{path}", server.ui)).await.expect("an answer");
    assert_eq!(page.status(), 200);
    assert!(page.text().await.expect("text").contains("CardDeclined"));

    let slack = &of("/slack").body;
    assert_eq!(slack["channel"], "#shop");
    assert!(
        slack["attachments"][0]["title"]
            .as_str()
            .expect("text")
            .starts_with("[FIRING:1] CardDeclined · payment: 4 cards")
    );
    assert!(slack["attachments"][0]["text"].as_str().expect("text").contains("card declined for order"), "{slack}");
    let pager = &of("/pagerduty").body;
    assert_eq!((&pager["event_action"], &pager["routing_key"]), (&json!("trigger"), &json!("key")));
    assert_eq!((&pager["payload"]["severity"], &pager["payload"]["source"]), (&json!("critical"), &json!("payment")));
    let genie = of("/opsgenie/v2/alerts");
    assert_eq!((genie.authorization.as_str(), &genie.body["priority"]), ("GenieKey genie", &json!("P1")));
    assert_eq!(of("/teams").body["@type"], "MessageCard");
    assert_eq!(of("/card").body["attachments"][0]["content"]["type"], "AdaptiveCard");
    let telegram = &of("/botbot/sendMessage").body;
    assert!(telegram["chat_id"] == -5 && telegram["text"].as_str().expect("text").contains("4 cards were declined"));
    let forwarded = &of("/am/api/v2/alerts").body[0];
    assert_eq!(forwarded["labels"]["alertname"], "CardDeclined");

    // What is told is on the APIs too.
    let rules = server.get("/api/v1/rules", &[]).await;
    let rule = &rules["data"]["groups"][0]["rules"][0];
    assert_eq!((&rule["state"], &rule["health"], &rule["type"]), (&json!("firing"), &json!("ok"), &json!("alerting")));
    let alerts = server.get("/api/v1/alerts", &[]).await;
    assert_eq!(alerts["data"]["alerts"][0]["value"], "4e+00");
    let alerts = server.get("/api/v2/alerts", &[("filter", "severity=\"page\"")]).await;
    assert_eq!((&alerts[0]["status"]["state"], &alerts[0]["receivers"][0]["name"]), (&json!("active"), &json!("all")));
    assert_eq!(server.get("/api/v2/alerts", &[("filter", "severity=\"ticket\"")]).await, json!([]));
    let history = server.get("/api/v1/alerts/history", &[]).await;
    assert_eq!(history["transitions"][0]["to"], "firing");

    // A rule that no longer holds is told as resolved.
    std::fs::write(folder.path().join("rules.yml"), RULES.replace("> 2", "> 200")).expect("written");
    until("what is resolved", async || {
        receiver.got().into_iter().find(|got| got.path == "/hook" && got.body["status"] == "resolved")
    })
    .await;
    let closed =
        until("the closing", async || receiver.got().into_iter().find(|got| got.path.contains("/close?"))).await;
    assert!(closed.path.starts_with("/opsgenie/v2/alerts/"), "{}", closed.path);
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_comes_after_the_mail_server_was_away() {
    let Some(python) = harness::tool("MANGRU_TEST_PYTHON") else { return };
    let folder = tempfile::tempdir().expect("folder");
    let mailbox = Mailbox::start(&python, 2);
    let receivers = format!(
        "  email_configs: [{{to: 'a@shop.example, b@shop.example', from: 'mangru@shop.example', smarthost: '127.0.0.1:{}', require_tls: false}}]\n",
        mailbox.port
    );
    let server = start(folder.path(), RULES, &routes(&receivers));
    decline_cards(&server).await;
    let mail = until("the mail", async || mailbox.mails.lock().expect("lock").first().cloned()).await;
    assert_eq!(mail["to"], json!(["a@shop.example", "b@shop.example"]));
    assert_eq!(mail["subject"], "[FIRING:1] CardDeclined · payment: 4 cards were declined");
    let (text, html) = (mail["text"].as_str().expect("text"), mail["html"].as_str().expect("text"));
    assert!(text.contains("card declined for order") && text.contains("https://mangru.example/alerts/"), "{text}");
    assert!(html.contains("<li>payment: card declined for order"), "{html}");
    let told = server.get("/api/v1/alerts/notifications", &[]).await;
    let parcel = &told["notifications"][0];
    assert_eq!((&parcel["state"], &parcel["attempts"]), (&json!("delivered"), &json!(3)), "{told}");
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_decided_is_delivered_after_an_outage_and_after_kill_9_and_nothing_twice() {
    let folder = tempfile::tempdir().expect("folder");
    // A port at which nobody listens yet.
    let receiver = Receiver::start(0).await;
    let address = receiver.address.clone();
    drop(receiver);
    let receivers = format!("  webhook_configs: [{{url: 'http://{address}/hook'}}]\n");
    let server = start(folder.path(), RULES, &routes(&receivers));
    decline_cards(&server).await;
    let waiting = until("a failed attempt", async || {
        let told = server.get("/api/v1/alerts/notifications", &[]).await;
        let is_tried = told["notifications"][0]["attempts"].as_i64().is_some_and(|attempts| attempts > 0);
        is_tried.then_some(told)
    })
    .await;
    assert_eq!(waiting["notifications"][0]["state"], "waiting");
    assert!(waiting["notifications"][0]["last_error"].is_string(), "{waiting}");
    let since = server.get("/api/v2/alerts", &[]).await[0]["startsAt"].clone();
    server.kill();

    // The receiver comes back, and fails once more before it takes anything.
    let receiver = Receiver::start_on(&address, 1).await;
    let server = again(folder.path());
    let got = until("the notification", async || receiver.got().first().cloned()).await;
    assert_eq!(got.body["alerts"][0]["labels"]["alertname"], "CardDeclined");
    until("the end of the outbox", async || {
        let told = server.get("/api/v1/alerts/notifications", &[]).await;
        (told["notifications"][0]["state"] == "delivered").then_some(())
    })
    .await;

    // It still fires since then; and it is not told again, neither by going on nor after another kill.
    server.kill();
    let server = again(folder.path());
    until("an evaluation", async || {
        let rules = server.get("/api/v1/rules", &[]).await;
        (rules["data"]["groups"][0]["evaluations"].as_i64() >= Some(4)).then_some(())
    })
    .await;
    assert_eq!(server.get("/api/v2/alerts", &[]).await[0]["startsAt"], since);
    let keys: HashSet<String> = receiver.got().iter().map(|got| got.idempotency_key.clone()).collect();
    assert_eq!((receiver.got().len(), keys.len()), (1, 1), "told once: {:?}", receiver.got());
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn silences_hold_back_are_a_file_and_can_be_ended() {
    let folder = tempfile::tempdir().expect("folder");
    let receiver = Receiver::start(0).await;
    let receivers = format!("  webhook_configs: [{{url: 'http://{}/hook'}}]\n", receiver.address);
    let server = start(folder.path(), RULES, &routes(&receivers));
    let client = harness::client();
    let silence = json!({
        "matchers": [{"name": "alertname", "value": "Card.*", "isRegex": true, "isEqual": true}],
        "startsAt": "2026-01-01T00:00:00Z", "endsAt": "2199-01-01T00:00:00Z", "createdBy": "eva", "comment": "known",
    });
    let post = |body: String| client.post(format!("{}/api/v2/silences", server.ui)).body(body).send();
    let made: Json = post(silence.to_string()).await.expect("answer").json().await.expect("JSON");
    let id = made["silenceID"].as_str().expect("an id").to_owned();
    assert_eq!(post("{}".to_owned()).await.expect("answer").status(), 400);
    let file = std::fs::read_to_string(folder.path().join("data/alerts/silences.yaml")).expect("the file");
    assert!(file.contains("Card.*") && file.contains("eva"), "{file}");
    decline_cards(&server).await;
    let alerts = until("the alert", async || {
        let alerts = server.get("/api/v2/alerts", &[]).await;
        alerts[0].is_object().then_some(alerts)
    })
    .await;
    assert_eq!(alerts[0]["status"]["state"], "suppressed");
    assert_eq!(alerts[0]["status"]["silencedBy"], json!([id]));
    assert_eq!(server.get("/api/v2/alerts", &[("silenced", "false")]).await, json!([]));
    // A page of another site cannot end it.
    let end = || client.delete(format!("{}/api/v2/silence/{id}", server.ui));
    assert_eq!(end().header("sec-fetch-site", "cross-site").send().await.expect("answer").status(), 403);
    assert!(receiver.got().is_empty());
    assert_eq!(end().send().await.expect("answer").status(), 200);
    until("the notification", async || receiver.got().first().cloned()).await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_change_of_rules_keeps_what_was_and_is_told() {
    let folder = tempfile::tempdir().expect("folder");
    let server = start(folder.path(), RULES, &routes(""));
    std::fs::write(folder.path().join("rules.yml"), RULES.replace("count:", "cuont:")).expect("written");
    let rules = until("the warning", async || {
        let rules = server.get("/api/v1/rules", &[]).await;
        rules["warnings"].is_array().then_some(rules)
    })
    .await;
    let warning = rules["warnings"][0].as_str().expect("text");
    assert!(warning.contains("rules.yml:9: cuont: unknown field `cuont`"), "{warning}");
    assert_eq!(rules["data"]["groups"][0]["rules"][0]["name"], "CardDeclined");
    std::fs::write(folder.path().join("rules.yml"), RULES.replace("CardDeclined", "Declined")).expect("written");
    until("the new rule", async || {
        let rules = server.get("/api/v1/rules", &[]).await;
        (rules["data"]["groups"][0]["rules"][0]["name"] == "Declined" && rules["warnings"].is_null()).then_some(())
    })
    .await;
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_checked_tested_and_run_over_the_past_from_the_command_line() {
    let folder = tempfile::tempdir().expect("folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let run = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_mangru")).arg("alerts").args(arguments).output().expect("it runs");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.success(), text)
    };
    let server = start(folder.path(), RULES, &routes(""));
    decline_cards(&server).await;
    let (is_fine, text) = run(&["check", &path("rules.yml"), "--notify", &path("notify.yml")]);
    assert!(is_fine && text.contains("looks back     2m every   1s") && text.contains("1 rules in 1 groups"), "{text}");
    std::fs::write(path("bad.yml"), "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: up{\n    for: 5x\n")
        .expect("written");
    let (is_fine, text) = run(&["check", &path("bad.yml")]);
    assert!(
        !is_fine && text.contains("bad.yml:5: expr: ") && text.contains("bad.yml:6: for: `5x` is not a duration"),
        "{text}"
    );
    let test = "
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
- logs: [{at: 10s, every: 10s, until: 40s, service: payment, body: 'card declined'}]
  alert_rule_test:
  - {eval_time: 1m, alertname: CardDeclined, exp_alerts: [{exp_labels: {service_name: payment, severity: page}, exp_annotations: {summary: '4 cards were declined'}}]}
  - {eval_time: 3m, alertname: CardDeclined}
";
    std::fs::write(path("test.yml"), test).expect("written");
    let (is_fine, text) = run(&["test", &path("test.yml")]);
    assert!(is_fine && text.contains("1 tests, 0 failures"), "{text}");
    std::fs::write(path("test.yml"), test.replace("4 cards", "5 cards")).expect("written");
    let (is_fine, text) = run(&["test", &path("test.yml")]);
    assert!(!is_fine && text.contains("1 failures in 1 tests"), "{text}");
    let arguments = ["backtest", "--from", "-1m", "--to", "now", "--server", &server.ui];
    let (is_fine, text) = run(&[&arguments[..], &[&path("rules.yml")]].concat());
    assert!(is_fine && text.contains("inactive → firing") && text.contains('█'), "{text}");
    server.stop();
}
