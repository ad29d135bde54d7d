//! Who is told what, and when, on a clock that the test moves.

use mangru_alerts::machine::{Labels, fingerprint};
use mangru_alerts::notify::{Decision, Dispatcher, Notice, NotifyConfig, Silence, SilenceFields, Silences};
use std::collections::BTreeMap;
use std::path::Path;

const CONFIG: &str = "
route:
  receiver: team
  group_by: [alertname]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 4h
  routes:
  - matchers: ['severity=\"page\"']
    receiver: pager
    group_wait: 10s
  - matchers: ['night=\"off\"']
    mute_time_intervals: [night]
  - matchers: ['night=\"only\"']
    active_time_intervals: [night]
receivers:
- name: team
  slack_configs: [{api_url: 'http://127.0.0.1:1/slack'}]
- name: pager
  webhook_configs: [{url: 'http://127.0.0.1:1/hook'}]
inhibit_rules:
- source_matchers: ['alertname=\"Down\"']
  target_matchers: ['severity=~\"page|ticket\"']
  equal: [service]
time_intervals:
- name: night
  time_intervals: [{times: [{start_time: '00:00', end_time: '06:00'}]}]
";

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// Noon of a day.
const NOON: i64 = 20_000 * 24 * HOUR + 12 * HOUR;

struct World {
    config: NotifyConfig,
    dispatcher: Dispatcher,
    silences: Silences,
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn notice(pairs: &[(&str, &str)], starts_ms: i64, ends_ms: Option<i64>) -> Notice {
    let labels = labels(pairs);
    Notice {
        fingerprint: fingerprint(&labels),
        labels,
        annotations: Labels::new(),
        starts_ms,
        ends_ms,
        url: String::new(),
        value: "1".to_owned(),
        evidence: Vec::new(),
    }
}

impl World {
    fn new() -> Self {
        let config = NotifyConfig::read("a.yml", CONFIG, Path::new(".")).expect("a configuration");
        Self { config, dispatcher: Dispatcher::default(), silences: Silences::default() }
    }

    fn update(&mut self, notice: &Notice, now_ms: i64) {
        self.dispatcher.update(&self.config, notice, now_ms);
    }

    fn due(&mut self, now_ms: i64) -> Vec<Decision> {
        self.dispatcher.due(&self.config, &self.silences, now_ms).decisions
    }

    /// Receiver, status and number of alerts of what is due.
    fn told(&mut self, now_ms: i64) -> Vec<(String, &'static str, usize)> {
        self.due(now_ms).iter().map(|one| (one.receiver.clone(), one.status(), one.alerts.len())).collect()
    }
}

fn one(receiver: &str, status: &'static str, alerts: usize) -> Vec<(String, &'static str, usize)> {
    vec![(receiver.to_owned(), status, alerts)]
}

#[test]
fn a_group_waits_gathers_and_is_told_of_changes_and_after_the_repeat_interval() {
    let mut world = World::new();
    let a = [("alertname", "A"), ("severity", "page"), ("service", "x")];
    let b = [("alertname", "A"), ("severity", "page"), ("service", "y")];
    world.update(&notice(&a, NOON, None), NOON);
    assert_eq!(world.told(NOON + 9 * SECOND), []);
    world.update(&notice(&b, NOON + 5 * SECOND, None), NOON + 5 * SECOND);
    assert_eq!(world.told(NOON + 10 * SECOND), one("pager", "firing", 2), "both, in one");
    assert_eq!(world.told(NOON + 5 * MINUTE), []);
    assert_eq!(world.told(NOON + 5 * MINUTE + 10 * SECOND), [], "nothing changed");
    // One is resolved: the group is told with what still fires.
    world.update(&notice(&a, NOON, Some(NOON + 6 * MINUTE)), NOON + 6 * MINUTE);
    assert_eq!(world.told(NOON + 10 * MINUTE), [], "the group's interval is not over");
    assert_eq!(world.told(NOON + 10 * MINUTE + 10 * SECOND), one("pager", "firing", 2));
    assert_eq!(world.told(NOON + HOUR), []);
    let mut now = NOON + HOUR;
    let mut repeated = Vec::new();
    while now < NOON + 5 * HOUR {
        now += MINUTE;
        repeated.extend(world.told(now).into_iter().map(|_| now));
    }
    assert_eq!(repeated.len(), 1, "once in four hours: {repeated:?}");
    world.update(&notice(&b, NOON + 5 * SECOND, Some(now)), now);
    assert_eq!(world.told(now + 10 * MINUTE), one("pager", "resolved", 1));
    assert_eq!(world.told(now + HOUR), []);
    assert_eq!(world.dispatcher.next_ms(), None, "the group is gone");
}

#[test]
fn what_was_told_is_not_told_again_after_a_restart_but_its_end_is() {
    let mut world = World::new();
    let a = [("alertname", "A"), ("severity", "page")];
    world.update(&notice(&a, NOON, None), NOON);
    let decided = world.dispatcher.due(&world.config, &world.silences, NOON + 10 * SECOND);
    let told: BTreeMap<_, _> = decided.told.into_iter().collect();
    let first = &decided.decisions[0];
    let restart = |world: &mut World| world.dispatcher = Dispatcher::new(told.clone());
    restart(&mut world);
    world.update(&notice(&a, NOON, None), NOON + MINUTE);
    assert_eq!(world.told(NOON + 2 * MINUTE), []);
    restart(&mut world);
    world.update(&notice(&a, NOON, Some(NOON + 2 * MINUTE)), NOON + 3 * MINUTE);
    let end = world.due(NOON + 4 * MINUTE);
    assert_eq!((end.len(), end[0].status(), end[0].number), (1, "resolved", first.number + 1));
    assert_ne!(end[0].idempotency_key(), first.idempotency_key());
    // What nobody was told of, nobody is told the end of.
    let mut world = World::new();
    world.update(&notice(&a, NOON, Some(NOON + SECOND)), NOON + SECOND);
    assert_eq!(world.told(NOON + HOUR), []);
}

#[test]
fn receivers_that_do_not_want_ends_are_not_told_of_them() {
    let mut world = World::new();
    let a = [("alertname", "A")];
    world.update(&notice(&a, NOON, None), NOON);
    assert_eq!(world.told(NOON + 30 * SECOND), one("team", "firing", 1));
    world.update(&notice(&a, NOON, Some(NOON + MINUTE)), NOON + MINUTE);
    assert_eq!(world.told(NOON + 10 * MINUTE), []);
    // It fires anew, and that is told.
    world.update(&notice(&a, NOON + HOUR, None), NOON + HOUR);
    assert_eq!(world.told(NOON + HOUR + 30 * SECOND), one("team", "firing", 1));
}

#[test]
fn what_is_inhibited_is_held_back_only_while_the_other_fires() {
    let mut world = World::new();
    let down = [("alertname", "Down"), ("service", "x")];
    let slow = [("alertname", "Slow"), ("service", "x"), ("severity", "page")];
    let other = [("alertname", "Slow"), ("service", "y"), ("severity", "page")];
    world.update(&notice(&down, NOON, None), NOON);
    world.update(&notice(&slow, NOON, None), NOON);
    world.update(&notice(&other, NOON, None), NOON);
    let mut told = world.due(NOON + 30 * SECOND);
    told.sort_by(|left, right| left.receiver.cmp(&right.receiver));
    assert_eq!(told.len(), 2);
    assert_eq!(told[0].alerts.iter().map(|one| one.labels["service"].as_str()).collect::<Vec<_>>(), ["y"]);
    assert_eq!(told[1].alerts[0].labels["alertname"], "Down");
    world.update(&notice(&down, NOON, Some(NOON + MINUTE)), NOON + MINUTE);
    assert_eq!(world.told(NOON + 6 * MINUTE), one("pager", "firing", 2), "now both");
}

#[test]
fn mute_times_and_active_times_hold_back() {
    let mut world = World::new();
    let night = NOON + 14 * HOUR;
    world.update(&notice(&[("alertname", "A"), ("night", "off")], night, None), night);
    world.update(&notice(&[("alertname", "B"), ("night", "only")], NOON, None), NOON);
    assert_eq!(world.told(NOON + MINUTE), [], "only at night");
    let told = world.due(night + MINUTE);
    assert_eq!(told.iter().map(|one| one.alerts[0].labels["alertname"].clone()).collect::<Vec<_>>(), ["B"]);
    assert_eq!(world.told(night + 4 * HOUR + MINUTE).len(), 1, "the morning has come");
}

#[test]
fn a_silence_holds_back_until_it_ends() {
    let mut world = World::new();
    let fields: SilenceFields = serde_json::from_value(serde_json::json!({
        "matchers": [{"name": "alertname", "value": "A"}],
        "startsAt": "2000-01-01T00:00:00Z", "endsAt": "2100-01-01T00:00:00Z", "createdBy": "", "comment": "",
    }))
    .expect("fields");
    let silence = Silence::read(&fields, NOON).expect("a silence");
    let id = silence.id.clone();
    world.silences.set(silence, NOON).expect("kept");
    world.update(&notice(&[("alertname", "A")], NOON, None), NOON);
    assert_eq!(world.told(NOON + 30 * SECOND), []);
    world.silences.expire(&id, NOON + MINUTE).expect("ended");
    assert_eq!(world.told(NOON + 6 * MINUTE), one("team", "firing", 1));
}

#[test]
fn a_start_or_an_end_that_is_to_come_delays_nothing() {
    let mut world = World::new();
    let a = [("alertname", "A"), ("severity", "page")];
    world.update(&notice(&a, NOON + HOUR, None), NOON);
    assert_eq!(world.told(NOON + 9 * SECOND), []);
    assert_eq!(world.told(NOON + 10 * SECOND), one("pager", "firing", 1));
}

#[test]
fn what_a_receiver_refused_is_decided_anew_with_the_next_turn() {
    let mut world = World::new();
    let a = [("alertname", "A"), ("severity", "page")];
    world.update(&notice(&a, NOON, None), NOON);
    let first = world.due(NOON + 10 * SECOND).remove(0);
    let back = world.dispatcher.refused(&world.config, &first, NOON + 11 * SECOND).expect("taken back");
    assert!(back.1.firing.is_empty());
    assert_eq!(world.told(NOON + 5 * MINUTE), []);
    let second = world.due(NOON + 5 * MINUTE + 10 * SECOND).remove(0);
    assert_eq!(second.status(), "firing");
    assert_ne!(second.idempotency_key(), first.idempotency_key());
    // The refusal of something older takes nothing back.
    assert_eq!(world.dispatcher.refused(&world.config, &first, NOON + 6 * MINUTE), None);
    assert_eq!(world.told(NOON + 11 * MINUTE), []);
    // An end that was refused is told again too, though the group had nothing else.
    world.update(&notice(&a, NOON, Some(NOON + 12 * MINUTE)), NOON + 12 * MINUTE);
    let end = world.due(NOON + 16 * MINUTE).remove(0);
    assert_eq!((end.status(), world.dispatcher.next_ms()), ("resolved", None));
    world.dispatcher.refused(&world.config, &end, NOON + 16 * MINUTE).expect("taken back");
    assert_eq!(world.told(NOON + 22 * MINUTE), one("pager", "resolved", 1));
    assert_eq!(world.dispatcher.next_ms(), None);
}

#[test]
fn what_was_told_long_ago_and_is_forgotten_is_told_anew_under_another_key() {
    let mut world = World::new();
    let a = [("alertname", "A"), ("severity", "page")];
    world.update(&notice(&a, NOON, None), NOON);
    let first = world.due(NOON + 10 * SECOND).remove(0);
    world.update(&notice(&a, NOON, Some(NOON + MINUTE)), NOON + MINUTE);
    world.due(NOON + 6 * MINUTE);
    let later = NOON + 10 * 24 * HOUR;
    world.dispatcher.forget_told(later - 5 * 24 * HOUR);
    world.update(&notice(&a, later, None), later);
    let again = world.due(later + 10 * SECOND).remove(0);
    assert_eq!((again.number, again.status()), (0, "firing"));
    assert_ne!(again.idempotency_key(), first.idempotency_key());
}
