//! What receivers are told of rules that run in the service, on a clock that the test moves.

use super::fixtures::{Scratch, SeriesFields, samples};
use crate::{AlertService, AlertSettings, schedule};
use mangru_store::Signal;
use std::sync::Arc;

const MINUTE: i64 = 60_000;

struct World {
    service: Arc<AlertService>,
    /// When the group is evaluated within each minute.
    shift_ms: i64,
    _scratch: Scratch,
    _folder: tempfile::TempDir,
}

impl World {
    /// A service with these rules and series, whose one receiver listens at this address.
    async fn open(rules: &str, series: &[(&str, &str)], url: &str) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let (rules_path, notify_path) = (folder.path().join("rules.yml"), folder.path().join("notify.yml"));
        std::fs::write(&rules_path, rules).expect("written");
        let notify = format!(
            "route: {{receiver: a, group_wait: 0s, group_interval: 1s}}\n\
             receivers: [{{name: a, webhook_configs: [{{url: '{url}'}}]}}]\n"
        );
        std::fs::write(&notify_path, notify).expect("written");
        let scratch = Scratch::open().await.expect("a store");
        for (series, values) in series {
            let fields = SeriesFields { series: (*series).to_owned(), values: (*values).to_owned() };
            scratch.append(Signal::MetricPoints, &samples(&fields, MINUTE).expect("samples")).await.expect("kept");
        }
        let settings = AlertSettings {
            rules: vec![rules_path],
            notify: Some(notify_path),
            ..AlertSettings::in_folder(folder.path().join("alerts"))
        };
        let service = AlertService::open(Arc::clone(&scratch.query), settings, 0).await.expect("starts");
        let shift_ms = schedule::shift_ms(&service.rules().groups[0]);
        Self { service, shift_ms, _scratch: scratch, _folder: folder }
    }

    /// Evaluates at a minute, and gives what is told of it: the status, and the number of alerts that fire.
    async fn told(&self, minute: i64) -> Vec<(&'static str, usize)> {
        let now_ms = minute * MINUTE + self.shift_ms;
        self.service.evaluate_at(&self.service.rules().groups, now_ms).await;
        self.service.decide_at(now_ms + 2_000).await;
        let told = self.service.notifications((now_ms, now_ms + MINUTE - 1), 10).await.expect("read");
        let fires = |one: &crate::Parcel| one.decision.alerts.iter().filter(|alert| alert.ends_ms.is_none()).count();
        told.iter().map(|one| (one.decision.status(), fires(one))).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_alerts_of_a_rule_are_told_as_resolved() {
    let rules = "groups: [{name: g, interval: 1m, limit: 1, rules: [{alert: A, expr: m > 0}]}]\n";
    let world =
        World::open(rules, &[("m{a=\"1\"}", "1x9"), ("m{a=\"2\"}", "0 0 0 1 1 0 0")], "http://127.0.0.1:1/").await;
    assert_eq!(world.told(1).await, [("firing", 1)]);
    assert_eq!(world.told(2).await, []);
    assert_eq!(world.told(3).await, [("resolved", 0)], "the limit is exceeded");
    assert_eq!(world.told(4).await, []);
    assert_eq!(world.told(5).await, [("firing", 1)], "there are few enough again");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_has_not_ended_while_another_rule_says_it_too() {
    let rules = "groups: [{name: g, interval: 1m, rules: [{alert: A, expr: m > 0}, {alert: A, expr: n > 0}]}]\n";
    let world = World::open(rules, &[("m", "1 1 1 0x9"), ("n", "1 1 1 1 1 0x9")], "http://127.0.0.1:1/").await;
    assert_eq!(world.told(1).await, [("firing", 1)]);
    assert_eq!(world.told(3).await, [], "the other still fires");
    assert_eq!(world.told(4).await, []);
    assert_eq!(world.told(5).await, [("resolved", 0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_refuses_is_told_again_with_the_next_turn() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    // There is nothing: 404.
    tokio::spawn(async move { axum::serve(listener, axum::Router::new()).await });
    let rules = "groups: [{name: g, interval: 1m, rules: [{alert: A, expr: m > 0}]}]\n";
    let world = World::open(rules, &[("m", "1x9")], &url).await;
    for minute in 1..4 {
        assert_eq!(world.told(minute).await, [("firing", 1)], "{minute}");
        world.service.deliver_at(crate::now_ms()).await;
        let failed = async {
            while world.service.breakers().values().map(|one| one.failed).sum::<u64>() < minute as u64 {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(30), failed).await.expect("refused");
        // What became of it is written down after it was counted.
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    }
}
