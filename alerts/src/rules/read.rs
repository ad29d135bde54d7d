//! From a file's text to its groups, with everything that is wrong told at once.

use super::condition::{Change, Comparison, Condition, Measure, Search, Test};
use super::file::{File, GroupFields, RuleFields, Text};
use super::levels::levels;
use super::set::{Fault, is_blank};
use super::slo;
use super::{Group, Kind, Rule};
use crate::ask;
use crate::duration;
use crate::template::Template;
use mangru_query::PromQl;
use mangru_store::Signal;
use serde_saphyr::Spanned;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The window of searches and statements that do not say one: five minutes.
const WINDOW_MS: i64 = 300_000;
/// How far back data must have come for its absence to count, when a rule does not say: a day.
const SEEN_MS: i64 = 86_400_000;
/// A week.
const WEEK_MS: i64 = 604_800_000;
/// Files are no longer than this.
const MAX_FILE_BYTES: usize = 16 << 20;

/// Reads a rule file; `interval_ms` is that of groups that do not say one.
///
/// # Errors
/// All that is wrong, each with its line and key. Then nothing of the file can be used.
pub fn read(name: &str, text: &str, interval_ms: i64) -> Result<Vec<Group>, Vec<Fault>> {
    if text.len() > MAX_FILE_BYTES {
        return Err(vec![Fault::new(name, 0, "", format!("the file is longer than {MAX_FILE_BYTES} bytes"))]);
    }
    if is_blank(text) {
        return Ok(Vec::new());
    }
    let file: File = serde_saphyr::from_str(text).map_err(|error| vec![Fault::of_yaml(name, &error)])?;
    let mut reader = Reader { file: name.into(), faults: Vec::new(), ids: BTreeMap::new() };
    let mut names = BTreeSet::new();
    let mut groups = Vec::new();
    for fields in &file.groups {
        if !names.insert(fields.name.value.0.clone()) {
            let message = format!("groupname: \"{}\" is repeated in the same file", fields.name.value.0);
            reader.fault(&fields.name, "name", message);
        }
        groups.push(reader.group(fields, interval_ms));
    }
    if reader.faults.is_empty() { Ok(groups) } else { Err(reader.faults) }
}

struct Reader {
    file: Arc<str>,
    faults: Vec<Fault>,
    /// How often each rule's identity came, so that equal ones can be told apart.
    ids: BTreeMap<String, usize>,
}

type Field = Option<Spanned<Text>>;

/// A share of bad requests, without the last digits of floating point.
fn share_of(factor: f64, budget: f64) -> f64 {
    (factor * budget * 1e9).round() / 1e9
}

fn line<T>(value: &Spanned<T>) -> u64 {
    value.referenced.line()
}

impl Reader {
    fn fault<T>(&mut self, at: &Spanned<T>, key: &str, message: impl Into<String>) {
        self.faults.push(Fault::new(&self.file, line(at), key, message));
    }

    /// What a function makes of a text; a fault where it cannot.
    fn with<R>(&mut self, field: &Field, key: &str, read: impl Fn(&str) -> Result<R, String>) -> Option<R> {
        let given = field.as_ref()?;
        read(&given.value.0).map_err(|message| self.fault(given, key, message)).ok()
    }

    fn duration(&mut self, field: &Field, key: &str, default: i64) -> i64 {
        self.with(field, key, duration::parse).unwrap_or(default)
    }

    fn group(&mut self, fields: &GroupFields, interval_ms: i64) -> Group {
        let name = fields.name.value.0.clone();
        if name.trim().is_empty() {
            self.fault(&fields.name, "name", "Groupname must not be empty");
        }
        let interval_ms = match self.duration(&fields.interval, "interval", interval_ms) {
            0 => interval_ms,
            given => given,
        };
        let offset_ms = fields.query_offset.as_ref().map(|_| self.duration(&fields.query_offset, "query_offset", 0));
        let shared = self.templates(&fields.labels, "labels");
        self.label_names(&fields.labels);
        let mut rules = Vec::new();
        for rule in &fields.rules {
            self.rule(&name, &shared, rule, &mut rules);
        }
        let file = Arc::clone(&self.file);
        let levels = levels(&rules);
        let rules = rules.into_iter().map(Arc::new).collect();
        Group { file, name, interval_ms, offset_ms, limit: fields.limit, rules, levels }
    }

    fn rule(
        &mut self,
        group: &str,
        shared: &[(String, Template)],
        spanned: &Spanned<RuleFields>,
        rules: &mut Vec<Rule>,
    ) {
        let fields = &spanned.value;
        let named: Vec<(&str, &Spanned<Text>)> =
            [("record", &fields.record), ("alert", &fields.alert), ("slo", &fields.slo)]
                .into_iter()
                .filter_map(|(key, field)| Some((key, field.as_ref()?)))
                .collect();
        let [(key, name)] = named.as_slice() else {
            let message = "a rule has one of `record`, `alert` and `slo`";
            self.fault(spanned, "rules", message);
            return;
        };
        if name.value.0.trim().is_empty() {
            self.fault(name, key, format!("`{key}` is empty"));
        }
        let labels = self.labels(shared, fields);
        let annotations = self.templates(&fields.annotations, "annotations");
        let for_ms = self.duration(&fields.r#for, "for", 0);
        let keep_firing_ms = self.duration(&fields.keep_firing_for, "keep_firing_for", 0);
        let rule = |name: String, kind: Kind, condition: Condition| Rule {
            id: String::new(),
            name,
            kind,
            condition,
            for_ms,
            keep_firing_ms,
            labels: labels.clone(),
            annotations: annotations.clone(),
            line: line(spanned),
        };
        let mut made = Vec::new();
        match *key {
            "slo" => {
                for (condition, burn) in self.objective(spanned) {
                    let mut one = rule(name.value.0.clone(), Kind::Alert, condition);
                    let plain = |text: String| Template::parse(&text).ok();
                    for (label, text) in [
                        ("slo", name.value.0.clone()),
                        ("severity", burn.severity.to_owned()),
                        ("long_window", duration::text(burn.long_ms)),
                        ("short_window", duration::text(burn.short_ms)),
                    ] {
                        let is_given = one.labels.iter().any(|(known, _)| known == label);
                        if let Some(template) = plain(text).filter(|_| !is_given) {
                            one.labels.push((label.to_owned(), template));
                        }
                    }
                    made.push(one);
                }
            }
            key => {
                let kind = if key == "record" { Kind::Record } else { Kind::Alert };
                if kind == Kind::Record {
                    self.recording(fields, name);
                }
                if let Some(condition) = self.condition(spanned) {
                    made.push(rule(name.value.0.clone(), kind, condition));
                }
            }
        }
        for mut one in made {
            let labels: Vec<String> = one.labels.iter().map(|(name, text)| format!("{name}={}", text.text())).collect();
            let identity = format!("{};{group};{};{}", self.file, one.name, labels.join(","));
            let times = self.ids.entry(identity.clone()).or_default();
            *times += 1;
            let hash = xxhash_rust::xxh3::xxh3_64(format!("{identity};{times}").as_bytes());
            one.id = format!("{hash:016x}");
            rules.push(one);
        }
    }

    /// What a recording rule may not have.
    fn recording(&mut self, fields: &RuleFields, name: &Spanned<Text>) {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let text = &name.value.0;
        if !text.chars().all(is_name) || text.starts_with(|c: char| c.is_ascii_digit()) {
            self.fault(name, "record", format!("invalid recording rule name: `{text}`"));
        }
        for (key, field) in [("for", &fields.r#for), ("keep_firing_for", &fields.keep_firing_for)] {
            if let Some(given) = field {
                self.fault(given, key, format!("invalid field '{key}' in recording rule"));
            }
        }
        if let Some((_, given)) = fields.annotations.iter().next() {
            self.fault(given, "annotations", "invalid field 'annotations' in recording rule");
        }
    }

    /// The group's labels, overridden by the rule's.
    fn labels(&mut self, shared: &[(String, Template)], fields: &RuleFields) -> Vec<(String, Template)> {
        let mut all = shared.to_vec();
        for (name, template) in self.templates(&fields.labels, "labels") {
            all.retain(|(known, _)| *known != name);
            all.push((name, template));
        }
        self.label_names(&fields.labels);
        all
    }

    fn label_names(&mut self, labels: &BTreeMap<String, Spanned<Text>>) {
        for (name, given) in labels {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let is_wrong = name.is_empty() || name == "__name__" || !name.chars().all(is_plain);
            if is_wrong || name.starts_with(|c: char| c.is_ascii_digit()) {
                self.fault(given, &format!("labels.{name}"), format!("invalid label name: {name}"));
            }
        }
    }

    fn templates(&mut self, all: &BTreeMap<String, Spanned<Text>>, key: &str) -> Vec<(String, Template)> {
        let mut templates = Vec::new();
        for (name, text) in all {
            match Template::of_rule(&text.value.0) {
                Ok(template) => templates.push((name.clone(), template)),
                Err(message) => self.fault(text, &format!("{key}.{name}"), format!("template: {message}")),
            }
        }
        templates
    }

    fn promql(&mut self, given: &Spanned<Text>, key: &str) -> Option<PromQl> {
        match PromQl::parse(&given.value.0) {
            Err(error) => self.fault(given, key, format!("could not parse expression: {error}")),
            Ok(expr) if !expr.is_instant() => {
                self.fault(given, key, "the expression gives neither an instant vector nor a scalar");
            }
            Ok(expr) => return Some(expr),
        }
        None
    }

    /// Fields that mean nothing beside this kind of condition.
    fn refuse(&mut self, fields: &RuleFields, kind: &str, allowed: &[&str]) {
        let all: [(&str, &Field); 17] = [
            ("service", &fields.service),
            ("operation", &fields.operation),
            ("window", &fields.window),
            ("count", &fields.count),
            ("rate", &fields.rate),
            ("error_rate", &fields.error_rate),
            ("latency", &fields.latency),
            ("min_count", &fields.min_count),
            ("value", &fields.value),
            ("absent", &fields.absent),
            ("change", &fields.change),
            ("against", &fields.against),
            ("objective", &fields.objective),
            ("bad", &fields.bad),
            ("errors", &fields.errors),
            ("total", &fields.total),
            ("expr", &fields.expr),
        ];
        let message = |key: &str| format!("`{key}` has no meaning beside `{kind}`");
        for (key, field) in all {
            if let Some(given) = field.as_ref().filter(|_| !allowed.contains(&key)) {
                self.fault(given, key, message(key));
            }
        }
        if let Some(by) = fields.by.as_ref().filter(|_| !allowed.contains(&"by")) {
            self.fault(by, "by", message("by"));
        }
        if let Some(each) = fields.each.as_ref().filter(|_| !allowed.contains(&"each")) {
            self.fault(each, "each", message("each"));
        }
    }

    fn condition(&mut self, spanned: &Spanned<RuleFields>) -> Option<Condition> {
        let fields = &spanned.value;
        let asked: Vec<(&str, &Spanned<Text>)> =
            [("expr", &fields.expr), ("logs", &fields.logs), ("traces", &fields.traces), ("sql", &fields.sql)]
                .into_iter()
                .filter_map(|(key, field)| Some((key, field.as_ref()?)))
                .collect();
        let [(key, given)] = asked.as_slice() else {
            self.fault(spanned, "rules", "a rule has one of `expr`, `logs`, `traces` and `sql`");
            return None;
        };
        match *key {
            "expr" => {
                self.refuse(fields, "expr", &["expr", "change", "against"]);
                if given.value.0.trim().is_empty() {
                    self.fault(given, "expr", "field 'expr' must be set in rule");
                    return None;
                }
                let change = self.change(fields);
                Some(Condition::PromQl { expr: self.promql(given, "expr")?, change })
            }
            "sql" => {
                self.refuse(fields, "sql", &["window", "value"]);
                if let Err(error) = mangru_query::check_sql(&given.value.0) {
                    self.fault(given, "sql", error.to_string());
                }
                let window_ms = self.window(fields);
                let value = self.with(&fields.value, "value", Comparison::read);
                Some(Condition::Sql { sql: given.value.0.clone(), window_ms, value })
            }
            "logs" => self.search(fields, given, Signal::Logs),
            _ => self.search(fields, given, Signal::Spans),
        }
    }

    fn window(&mut self, fields: &RuleFields) -> i64 {
        let window_ms = self.duration(&fields.window, "window", WINDOW_MS);
        if let Some(given) = fields.window.as_ref().filter(|_| window_ms == 0) {
            self.fault(given, "window", "the window is empty");
        }
        window_ms.max(1)
    }

    fn change(&mut self, fields: &RuleFields) -> Option<Change> {
        let is = self.with(&fields.change, "change", Comparison::read);
        if let Some(against) = fields.against.as_ref().filter(|_| fields.change.is_none()) {
            self.fault(against, "against", "`against` has no meaning without `change`");
        }
        let against_ms = self.duration(&fields.against, "against", WEEK_MS);
        Some(Change { against_ms, is: is? })
    }

    fn by(&mut self, fields: &RuleFields) -> Vec<String> {
        let Some(by) = &fields.by else { return Vec::new() };
        for name in by.value.iter().filter(|name| name.value.0.trim().is_empty()) {
            self.fault(name, "by", "a field's name is empty");
        }
        by.value.iter().map(|name| name.value.0.trim().to_owned()).collect()
    }

    /// The search with the service and the operation that are named beside it.
    fn query(&mut self, fields: &RuleFields, given: &Spanned<Text>, signal: Signal, key: &str) -> String {
        let mut terms = Vec::new();
        for (field, name) in [(&fields.service, "service.name"), (&fields.operation, "name")] {
            if let Some(value) = field {
                terms.push(ask::term(name, &value.value.0));
            }
        }
        let text = given.value.0.trim();
        if let Err(error) = mangru_query::check_search(text, signal) {
            let position = error.position.map(|at| format!(" (at character {at})")).unwrap_or_default();
            self.fault(given, key, format!("{error}{position}"));
        }
        if terms.is_empty() { text.to_owned() } else { ask::narrowed(text, terms) }
    }

    fn search(&mut self, fields: &RuleFields, given: &Spanned<Text>, signal: Signal) -> Option<Condition> {
        let (key, measures): (&str, &[&str]) = match signal {
            Signal::Logs => ("logs", &["count", "rate", "error_rate", "min_count"]),
            _ => ("traces", &["count", "rate", "error_rate", "latency", "min_count", "operation"]),
        };
        let allowed = [measures, &["service", "window", "absent", "change", "against", "by", "each"]].concat();
        self.refuse(fields, key, &allowed);
        let query = self.query(fields, given, signal, key);
        let by = self.by(fields);
        if let Some(each) = fields.each.as_ref().filter(|each| each.value) {
            for (name, field) in [
                ("count", &fields.count),
                ("rate", &fields.rate),
                ("error_rate", &fields.error_rate),
                ("latency", &fields.latency),
                ("min_count", &fields.min_count),
                ("absent", &fields.absent),
                ("change", &fields.change),
                ("window", &fields.window),
                ("for", &fields.r#for),
            ] {
                if field.is_some() {
                    self.fault(each, "each", format!("`{name}` has no meaning beside `each`"));
                }
            }
            if fields.record.is_some() {
                self.fault(each, "each", "`each` has no meaning in a recording rule");
            }
            return Some(Condition::Each { signal, query, by });
        }
        let window_ms = self.window(fields);
        let is_record = fields.record.is_some();
        let mut found: Vec<(&str, Measure, Option<Comparison>)> = Vec::new();
        for (name, field, measure) in [
            ("count", &fields.count, Measure::Count),
            ("rate", &fields.rate, Measure::Rate),
            ("error_rate", &fields.error_rate, Measure::ErrorRate),
        ] {
            if let Some(given) = field {
                found.push((name, measure, self.comparison(given, name, fields)));
            }
        }
        if let Some(latency) = &fields.latency {
            let (measure, comparison) = self.latency(latency, fields);
            found.push(("latency", measure, comparison));
        }
        if found.len() > 1 {
            let names: Vec<&str> = found.iter().map(|(name, ..)| *name).collect();
            self.fault(given, key, format!("a rule asks one figure, not {}", names.join(" and ")));
        }
        let (_, measure, comparison) = found.into_iter().next().unwrap_or(("count", Measure::Count, None));
        let absent = self.absent(fields);
        let change = self.change(fields);
        let test = match (absent, change, comparison) {
            (Some(seen_ms), None, None) => Test::Absent { seen_ms },
            (None, Some(change), None) => Test::Changed(change),
            (None, None, Some(comparison)) => Test::Is(comparison),
            (None, None, None) if is_record => Test::Is(Comparison::read(">= 0").ok()?),
            (None, None, None) => Test::Is(Comparison::read("> 0").ok()?),
            _ => {
                self.fault(given, key, "a rule has one of a comparison, `absent` and `change`");
                return None;
            }
        };
        let min_count = self.min_count(fields);
        let has_few = matches!(measure, Measure::ErrorRate | Measure::Latency(_)) && matches!(test, Test::Is(_));
        if let Some(given) = fields.min_count.as_ref().filter(|_| !has_few) {
            let message = "`min_count` has a meaning beside a comparison of `error_rate` or `latency` alone";
            self.fault(given, "min_count", message);
        }
        Some(Condition::Search(Search { signal, query, window_ms, by, measure, test, min_count }))
    }

    /// The fewest rows of which a figure says anything.
    fn min_count(&mut self, fields: &RuleFields) -> u64 {
        let read = |text: &str| {
            let number = text.trim().replace('_', "").parse::<u64>().ok().filter(|number| *number > 0);
            number.ok_or_else(|| format!("`{text}` is not a whole number above zero, such as 20"))
        };
        self.with(&fields.min_count, "min_count", read).unwrap_or(0)
    }

    /// A comparison; beside `change` and in recording rules the figure alone may be named, as `true`.
    fn comparison(&mut self, given: &Spanned<Text>, key: &str, fields: &RuleFields) -> Option<Comparison> {
        let text = given.value.0.trim();
        if text == "true" && (fields.change.is_some() || fields.record.is_some()) {
            return None;
        }
        Comparison::read(text).map_err(|message| self.fault(given, key, message)).ok()
    }

    /// `p95 > 500ms`.
    fn latency(&mut self, given: &Spanned<Text>, fields: &RuleFields) -> (Measure, Option<Comparison>) {
        let text = given.value.0.trim();
        let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let percent = match name {
            "p50" => 50,
            "p90" => 90,
            "p95" => 95,
            "p99" => 99,
            "max" => 100,
            _ => {
                let message = format!("`{text}` does not begin with p50, p90, p95, p99 or max, as in `p95 > 500ms`");
                self.fault(given, "latency", message);
                return (Measure::Latency(95), None);
            }
        };
        if rest.trim().is_empty() && (fields.change.is_some() || fields.record.is_some()) {
            return (Measure::Latency(percent), None);
        }
        let comparison = Comparison::read(rest).map_err(|message| self.fault(given, "latency", message)).ok();
        (Measure::Latency(percent), comparison)
    }

    /// `true`, or how far back data must have come.
    fn absent(&mut self, fields: &RuleFields) -> Option<i64> {
        let given = fields.absent.as_ref()?;
        match given.value.0.as_str() {
            "true" => Some(SEEN_MS),
            "false" => None,
            text => duration::parse(text).map_err(|message| self.fault(given, "absent", message)).ok(),
        }
    }

    /// The alerts of an objective.
    fn objective(&mut self, spanned: &Spanned<RuleFields>) -> Vec<(Condition, slo::Burn)> {
        let fields = &spanned.value;
        let budget = match &fields.objective {
            None => {
                self.fault(spanned, "slo", "`objective` is missing, such as 99.9%");
                return Vec::new();
            }
            Some(_) => self.with(&fields.objective, "objective", slo::budget).unwrap_or(0.01),
        };
        let window_ms = self.duration(&fields.window, "window", 30 * 86_400_000);
        if window_ms < 3_600_000 {
            self.fault(spanned, "window", "the window of an objective is an hour at least");
        }
        let burns = slo::burns(window_ms);
        if let Some(given) = &fields.traces {
            self.refuse(
                fields,
                "slo",
                &["service", "operation", "by", "window", "objective", "bad", "latency", "min_count"],
            );
            let query = self.query(fields, given, Signal::Spans, "traces");
            let query = if query.is_empty() || query == "*" { String::new() } else { format!("({query}) ") };
            let query = format!("{query}(kind:server OR kind:consumer)");
            let bad = self.bad(fields);
            let by = self.by(fields);
            let min_count = self.min_count(fields);
            let burn = |burn: slo::Burn| {
                let condition = Condition::Burn {
                    query: query.clone(),
                    bad: bad.clone(),
                    by: by.clone(),
                    windows_ms: (burn.long_ms, burn.short_ms),
                    share: share_of(burn.factor, budget),
                    min_count,
                };
                (condition, burn)
            };
            return burns.map(burn).to_vec();
        }
        let (Some(errors), Some(total)) = (&fields.errors, &fields.total) else {
            self.fault(spanned, "slo", "an objective is over `traces`, or over `errors` and `total` in PromQL");
            return Vec::new();
        };
        self.refuse(fields, "slo", &["window", "objective", "errors", "total"]);
        let mut made = Vec::new();
        for burn in burns {
            let share = |window_ms: i64| {
                let of = |given: &Spanned<Text>| given.value.0.replace("$window", &duration::text(window_ms));
                format!("(({}) / ({})) > {}", of(errors), of(total), share_of(burn.factor, budget))
            };
            let text = format!("{} and {}", share(burn.long_ms), share(burn.short_ms));
            for (key, given) in [("errors", errors), ("total", total)] {
                if !given.value.0.contains("$window") {
                    self.fault(given, key, "`$window` is missing, as in sum(rate(requests_total[$window]))");
                }
            }
            let text = Spanned { value: Text(text), ..errors.clone() };
            match self.promql(&text, "errors") {
                Some(expr) => made.push((Condition::PromQl { expr, change: None }, burn)),
                None => break,
            }
        }
        made
    }

    /// Which requests are bad: those of a search, those that took too long, or those that failed.
    fn bad(&mut self, fields: &RuleFields) -> String {
        if let (Some(_), Some(latency)) = (&fields.bad, &fields.latency) {
            self.fault(latency, "latency", "an objective has one of `bad` and `latency`");
        }
        if let Some(latency) = &fields.latency {
            return match Comparison::read(&latency.value.0) {
                Ok(good) => format!("-duration{}{}ns", good.operator, (good.number * 1e9) as i64),
                Err(message) => {
                    self.fault(latency, "latency", message);
                    String::new()
                }
            };
        }
        let Some(bad) = &fields.bad else { return "status:error".to_owned() };
        if let Err(error) = mangru_query::check_search(&bad.value.0, Signal::Spans) {
            self.fault(bad, "bad", error.to_string());
        }
        bad.value.0.clone()
    }
}
