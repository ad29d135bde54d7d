//! Alerts that others post to the real binary: a client of Alertmanager's API v2, and a Prometheus server.

mod alerting;
mod harness;

use alerting::{Receiver, again, routes, start, until};
use harness::{Server, client};
use serde_json::{Value as Json, json};
use std::process::{Child, Command, Stdio};

const NO_RULES: &str = "groups: []\n";

async fn post(server: &Server, alerts: &Json) -> (u16, String) {
    let address = format!("{}/api/v2/alerts", server.ui);
    let request = client().post(address).header("content-type", "application/json").body(alerts.to_string());
    let answer = request.send().await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("text"))
}

/// A moment so many seconds from now.
fn moment(seconds: i64) -> String {
    let time = chrono::DateTime::from_timestamp_nanos(alerting::now_ns() as i64 + seconds * 1_000_000_000);
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

fn told(receiver: &Receiver, status: &str, name: &str) -> Option<Json> {
    let is_it = |body: &Json| body["status"] == status && body["alerts"][0]["labels"]["alertname"] == name;
    receiver.got().into_iter().map(|got| got.body).find(is_it)
}

#[tokio::test(flavor = "multi_thread")]
async fn posted_alerts_take_the_routes_survive_kill_9_and_end_by_their_sender_or_by_the_timeout() {
    let folder = tempfile::tempdir().expect("folder");
    let receiver = Receiver::start(0).await;
    let hook = format!("  webhook_configs: [{{url: 'http://{}/secret-path'}}]\n", receiver.address);
    let notify = format!("global: {{resolve_timeout: 2s}}\n{}", routes(&hook));
    let server = start(folder.path(), NO_RULES, &notify);

    let (starts, ends) = (moment(-30), moment(600));
    let disk = json!({
        "labels": { "alertname": "DiskFull", "instance": "db-1", "empty": "" },
        "annotations": { "summary": "the disk is full" },
        "startsAt": starts, "endsAt": ends, "generatorURL": "http://prometheus.example/graph?g0=1",
    });
    assert_eq!(post(&server, &json!([disk])).await, (200, String::new()));
    let body = until("the notification", async || told(&receiver, "firing", "DiskFull")).await;
    assert_eq!(body["groupLabels"], json!({ "alertname": "DiskFull" }));
    let alert = &body["alerts"][0];
    assert_eq!(alert["labels"], json!({ "alertname": "DiskFull", "instance": "db-1" }));
    assert_eq!((&alert["startsAt"], &alert["value"]), (&json!(starts), &json!("")));
    assert_eq!(alert["generatorURL"], "http://prometheus.example/graph?g0=1");
    until("the end of the outbox", async || {
        let told = server.get("/api/v1/alerts/notifications", &[]).await;
        (told["notifications"][0]["state"] == "delivered").then_some(())
    })
    .await;

    // What was answered with success is there after a crash, and nobody is told again.
    server.kill();
    let server = again(folder.path());
    let alerts = server.get("/api/v2/alerts", &[]).await;
    assert_eq!((&alerts[0]["startsAt"], &alerts[0]["endsAt"]), (&json!(starts), &json!(ends)));
    assert_eq!(
        (&alerts[0]["status"]["state"], &alerts[0]["receivers"]),
        (&json!("active"), &json!([{ "name": "all" }]))
    );
    for member in ["annotations", "labels", "updatedAt", "fingerprint", "generatorURL"] {
        assert!(!alerts[0][member].is_null(), "{member} is missing: {alerts}");
    }
    let page = reqwest::get(format!("{}/alerts", server.ui)).await.expect("a page").text().await.expect("text");
    for said in ["DiskFull", "from outside", "http://prometheus.example/graph?g0=1"] {
        assert!(page.contains(said), "the screen does not say {said}");
    }

    // Said again without an end it goes on as long as its sender said before; said with one it ends then.
    let again = json!({ "labels": { "alertname": "DiskFull", "instance": "db-1" }, "startsAt": starts });
    assert_eq!(post(&server, &json!([again])).await.0, 200);
    assert_eq!(server.get("/api/v2/alerts", &[]).await[0]["endsAt"], json!(ends));
    let over =
        json!({ "labels": { "alertname": "DiskFull", "instance": "db-1" }, "startsAt": starts, "endsAt": moment(0) });
    assert_eq!(post(&server, &json!([over])).await.0, 200);
    until("what is resolved", async || told(&receiver, "resolved", "DiskFull")).await;
    let fired = receiver.got().iter().filter(|got| got.body["status"] == "firing").count();
    assert_eq!(fired, 1, "told once: {:?}", receiver.got());
    assert_eq!(server.get("/api/v2/alerts", &[]).await, json!([]));

    // Without any end it ends by the timeout, unless it is said again.
    assert_eq!(post(&server, &json!([{ "labels": { "alertname": "Forgotten" } }])).await.0, 200);
    until("the notification", async || told(&receiver, "firing", "Forgotten")).await;
    until("what is resolved", async || told(&receiver, "resolved", "Forgotten")).await;
    let history = server.get("/api/v1/alerts/history", &[("rule", "outside")]).await;
    let seen: Vec<_> = history["transitions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| (one["name"].as_str().expect("text"), one["to"].as_str().expect("text")))
        .collect();
    assert_eq!(
        seen,
        [("Forgotten", "inactive"), ("Forgotten", "firing"), ("DiskFull", "inactive"), ("DiskFull", "firing")]
    );

    // The configuration is shown without what may be secret.
    let status = server.get("/api/v2/status", &[]).await;
    let original = status["config"]["original"].as_str().expect("text");
    assert!(original.contains("resolve_timeout") && !original.contains("secret-path"), "{original}");
    assert!(status["cluster"]["status"].is_string() && status["uptime"].is_string(), "{status}");
    assert_eq!(server.get("/api/v2/receivers", &[]).await, json!([{ "name": "all" }]));
    server.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn posted_alerts_are_grouped_inhibited_and_silenced_like_all_others() {
    let folder = tempfile::tempdir().expect("folder");
    let notify = "
route: {receiver: all, group_by: [cluster]}
receivers: [{name: all}]
inhibit_rules:
- source_matchers: ['severity=page']
  target_matchers: ['severity=ticket']
  equal: [cluster]
";
    let server = start(folder.path(), NO_RULES, notify);
    let alert = |name: &str, severity: &str, cluster: &str| json!({ "labels": { "alertname": name, "severity": severity, "cluster": cluster }, "endsAt": moment(600) });
    let all = [alert("Down", "page", "a"), alert("Slow", "ticket", "a"), alert("Slow", "ticket", "b")];
    let wrong = [json!({ "labels": {} }), json!({ "labels": { "a b": "c" } })];
    let (status, message) = post(&server, &json!([all[0], wrong[0], all[1], wrong[1], all[2]])).await;
    assert_eq!(status, 400);
    assert!(message.contains("alert 1: labels: at least one label pair required"), "{message}");
    assert!(message.contains("alert 3: labels: `a b` is not a name"), "{message}");
    assert_eq!(post(&server, &json!({ "labels": {} })).await.0, 400, "a list is asked for");

    // The right ones were taken.
    let groups = server.get("/api/v2/alerts/groups", &[]).await;
    let shape: Vec<_> = groups
        .as_array()
        .expect("a list")
        .iter()
        .map(|group| {
            (group["labels"].clone(), group["receiver"]["name"].clone(), group["alerts"].as_array().map(Vec::len))
        })
        .collect();
    assert_eq!(
        shape,
        [(json!({ "cluster": "a" }), json!("all"), Some(2)), (json!({ "cluster": "b" }), json!("all"), Some(1))]
    );
    let slow = server.get("/api/v2/alerts", &[("filter", "alertname=\"Slow\""), ("filter", "cluster=\"a\"")]).await;
    let down = server.get("/api/v2/alerts", &[("filter", "alertname=\"Down\"")]).await;
    assert_eq!(slow[0]["status"]["state"], "suppressed");
    assert_eq!(slow[0]["status"]["inhibitedBy"], json!([down[0]["fingerprint"]]));
    let others = server.get("/api/v2/alerts", &[("inhibited", "false")]).await;
    assert_eq!(others.as_array().map(Vec::len), Some(2));

    let silence = json!({
        "matchers": [{ "name": "cluster", "value": "b", "isRegex": false }],
        "startsAt": moment(-1), "endsAt": moment(600), "createdBy": "eva", "comment": "maintenance",
    });
    let address = format!("{}/api/v2/silences", server.ui);
    let answer = client().post(address).body(silence.to_string()).send().await.expect("an answer");
    let id = answer.json::<Json>().await.expect("JSON")["silenceID"].clone();
    let slow = server.get("/api/v2/alerts", &[("filter", "cluster=\"b\"")]).await;
    assert_eq!(slow[0]["status"]["silencedBy"], json!([id]));
    let nobody = server.get("/api/v2/alerts", &[("receiver", "nobody")]).await;
    assert_eq!(nobody, json!([]));
    let gone = client().delete(format!("{}/api/v2/silence/none", server.ui)).send().await.expect("an answer");
    assert_eq!(gone.status(), 404);
    server.stop();
}

/// A Prometheus server, ended when it is dropped.
struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prometheus_server_is_an_alertmanager_s_client_here() {
    let Some(programs) = harness::tool("MANGRU_TEST_PROMETHEUS") else { return };
    let folder = tempfile::tempdir().expect("folder");
    let receiver = Receiver::start(0).await;
    let hook = format!("  webhook_configs: [{{url: 'http://{}/hook'}}]\n", receiver.address);
    let server = start(folder.path(), NO_RULES, &routes(&hook));
    let target = server.ui.trim_start_matches("http://");
    let config = format!(
        "global: {{evaluation_interval: 1s, external_labels: {{replica: a}}}}\nrule_files: [rules.yml]\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{target}']}}]}}]}}\n"
    );
    let home = folder.path().join("prometheus");
    std::fs::create_dir(&home).expect("a folder");
    std::fs::write(home.join("prometheus.yml"), config).expect("written");
    let rule = "groups: [{name: g, rules: [{alert: Always, expr: vector(7), labels: {severity: page}, annotations: {summary: 'it is {{ $value }}'}}]}]\n";
    std::fs::write(home.join("rules.yml"), rule).expect("written");
    let child = Command::new(programs.join("prometheus"))
        .arg(format!("--config.file={}", home.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", home.join("data").display()))
        .arg("--web.listen-address=127.0.0.1:0")
        // It does not know of us when the alert fires, and says it again only after a while.
        .arg("--rules.alert.resend-delay=1s")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("prometheus starts");
    let prometheus = Prometheus(child);
    let body = until("its alert", async || told(&receiver, "firing", "Always")).await;
    let alert = &body["alerts"][0];
    assert_eq!(alert["labels"], json!({ "alertname": "Always", "replica": "a", "severity": "page" }));
    assert_eq!(alert["annotations"], json!({ "summary": "it is 7" }));
    let alerts = server.get("/api/v2/alerts", &[]).await;
    assert_eq!(alerts[0]["labels"], alert["labels"]);
    drop(prometheus);
    server.stop();
}
