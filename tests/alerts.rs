//! Alerts of the real binary, from a log line over OTLP to receivers that listen on this machine: with outages of the receivers and
//! with the process killed.

mod alerting;
mod harness;

use alerting::{Listener, RULES, Receiver, again, decline_cards, routes, start, until};
use serde_json::{Value as Json, json};
use std::collections::HashSet;
use std::path::Path;
use std::process::Command;

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
    let mailbox = Listener::start(&python, "mailbox.py", &["2"]);
    let receivers = format!(
        "  email_configs: [{{to: 'a@shop.example, b@shop.example', from: 'mangru@shop.example', smarthost: '127.0.0.1:{}', require_tls: false}}]\n",
        mailbox.port
    );
    let server = start(folder.path(), RULES, &routes(&receivers));
    decline_cards(&server).await;
    let mail = until("the mail", async || mailbox.first()).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn unit_tests_end_as_they_do_with_promtool() {
    let Some(programs) = harness::tool("MANGRU_TEST_PROMETHEUS") else { return };
    let folder = tempfile::tempdir().expect("folder");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/promtool");
    std::fs::copy(source.join("rules.yml"), folder.path().join("rules.yml")).expect("copied");
    let test = std::fs::read_to_string(source.join("test.yml")).expect("read");
    let path = folder.path().join("test.yml");
    let mut outcomes = Vec::new();
    // The expectations as they are, and each kind of them changed.
    for (what, with) in [
        ("", ""),
        ("share: '50% are up'", "share: '51% are up'"),
        ("eval_time: 9m, alertname: InstanceDown", "eval_time: 11m, alertname: InstanceDown"),
        ("job=\"web\"}', value: 0.5", "job=\"web\"}', value: 0.6"),
        ("value: 300", "value: 360"),
        ("eval_time: 12m, alertname: AnythingFires", "eval_time: 1m, alertname: AnythingFires"),
    ] {
        assert!(test.contains(what), "{what}");
        std::fs::write(&path, if what.is_empty() { test.clone() } else { test.replace(what, with) }).expect("written");
        let theirs =
            Command::new(programs.join("promtool")).args(["test", "rules"]).arg(&path).output().expect("it runs");
        let ours =
            Command::new(env!("CARGO_BIN_EXE_mangru")).args(["alerts", "test"]).arg(&path).output().expect("it runs");
        let said = String::from_utf8_lossy(&ours.stdout).into_owned();
        assert_eq!(theirs.status.success(), ours.status.success(), "`{what}` changed: {said}");
        outcomes.push(ours.status.success());
    }
    assert_eq!(outcomes, [true, false, false, false, false, false]);
}
