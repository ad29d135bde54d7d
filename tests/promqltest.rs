//! Scripts in the format of Prometheus' promqltest, run against the real binary: what is loaded goes in by remote write, what is evaluated is
//! asked by the HTTP API.
//!
//! Understood: `clear`, `load`, `eval instant`, `eval range`, `eval_fail`, `eval_ordered`, and the lines `expect fail`, `expect ordered`, `expect warn`,
//! `expect info`, `expect no_warn`, `expect no_info` (with `msg:` and a text that the first of them must hold) and `expect string` below an `eval`. Samples are
//! numbers, native histograms of exponential buckets, and series of both; anything else ends the script with an error.

mod harness;
mod histograms;
mod prompb;

use harness::{Server, client};
use histograms::Literal;
use prompb::one;
use prost::Message as _;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::Path;

/// How far values may differ, relative to their size.
const ALMOST: f64 = 1e-6;
/// Scripts may ask for what is experimental.
const EVERYTHING: &[(&str, &str)] = &[("MANGRU_QUERY_PROMQL_EXPERIMENTAL_FUNCTIONS", "true")];
/// What says that a series has ended.
const STALE: u64 = 0x7ff0_0000_0000_0002;

type Labels = BTreeMap<String, String>;

/// `5m`, `1h30m`, or seconds.
fn milliseconds(text: &str) -> i64 {
    if let Ok(seconds) = text.parse::<f64>() {
        return (seconds * 1000.0).round() as i64;
    }
    let mut all = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or_else(|| panic!("duration {text}"));
        let number: i64 = rest[..digits].parse().unwrap_or_else(|_| panic!("duration {text}"));
        let unit = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |end| digits + end);
        all += number
            * match &rest[digits..unit] {
                "ms" => 1,
                "s" => 1_000,
                "m" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                other => panic!("unit {other} of {text}"),
            };
        rest = &rest[unit..];
    }
    all
}

/// `name{a="b", c="d"}` and what stands behind it.
fn series(line: &str) -> (Labels, &str) {
    let end = line.find(|c: char| c == '{' || c.is_whitespace()).unwrap_or(line.len());
    let mut labels = Labels::new();
    if end > 0 {
        labels.insert("__name__".to_owned(), line[..end].to_owned());
    }
    let Some(mut rest) = line[end..].strip_prefix('{') else { return (labels, &line[end..]) };
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(behind) = rest.strip_prefix('}') {
            return (labels, behind);
        }
        let (name, behind) = rest.split_once('=').unwrap_or_else(|| panic!("labels of {line}"));
        let mut value = String::new();
        let mut characters = behind.strip_prefix('"').unwrap_or_else(|| panic!("labels of {line}")).char_indices();
        let end = loop {
            match characters.next().unwrap_or_else(|| panic!("labels of {line}")) {
                (_, '\\') => value.extend(characters.next().map(|(_, next)| if next == 'n' { '\n' } else { next })),
                (at, '"') => break at,
                (_, other) => value.push(other),
            }
        };
        labels.insert(name.trim().trim_matches('"').to_owned(), value);
        rest = &behind[end + 2..];
    }
}

fn number(text: &str) -> f64 {
    match text {
        "stale" => f64::from_bits(STALE),
        _ => text.parse().unwrap_or_else(|_| panic!("{text} is no number that is understood")),
    }
}

/// A number or a native histogram.
#[derive(Clone, Debug)]
enum Sample {
    Number(f64),
    Histogram(Literal),
}

/// Items separated by spaces; those within braces do not count.
fn items(text: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut depth = 0;
    for c in text.chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if c.is_whitespace() && depth == 0 {
            all.push(String::new());
        } else {
            all.last_mut().expect("one").push(c);
        }
    }
    all.retain(|item| !item.is_empty());
    all
}

/// `{{…}}`, `{{…}}x5` or `{{…}}+{{…}}x5`.
fn histogram_samples(item: &str) -> Vec<Option<Sample>> {
    let (first, rest) = item.trim_start_matches("{{").split_once("}}").unwrap_or_else(|| panic!("{item}"));
    let first = Literal::read(first);
    let (step, times) = match rest.strip_prefix("+{{") {
        Some(step) => {
            let (step, times) = step.split_once("}}").unwrap_or_else(|| panic!("{item}"));
            (Literal::read(step), times)
        }
        None => (first.plus(&first, -1.0), rest),
    };
    let times: usize = times.strip_prefix('x').map_or(0, |times| times.parse().expect("a number of times"));
    (0..=times).map(|n| Some(Sample::Histogram(first.plus(&step, n as f64)))).collect()
}

/// `1 2 _ 0+10x5 3x2 _x4 stale`: a value, or none, for each step.
fn values(text: &str) -> Vec<Option<Sample>> {
    let mut all = Vec::new();
    for item in items(text) {
        if item.starts_with("{{") {
            all.extend(histogram_samples(&item));
            continue;
        }
        let Some((what, times)) = item.split_once('x').filter(|(what, _)| !what.is_empty()) else {
            all.push((item != "_").then(|| Sample::Number(number(&item))));
            continue;
        };
        let times: usize = times.parse().unwrap_or_else(|_| panic!("times of {item}"));
        if what == "_" {
            all.extend(std::iter::repeat_n(None, times));
            continue;
        }
        // A sign behind the first character, and not of an exponent, begins the step.
        let step =
            what.char_indices().skip(1).find(|(at, c)| matches!(c, '+' | '-') && !what[..*at].ends_with(['e', 'E']));
        let (first, step) = step.map_or((what, "0"), |(at, _)| what.split_at(at));
        let (first, step) = (number(first), number(step));
        all.extend((0..=times).map(|n| Some(Sample::Number(first + step * n as f64))));
    }
    all
}

/// What is expected of an evaluation.
#[derive(Debug, Default)]
struct Expected {
    fails: bool,
    is_ordered: bool,
    warns: Option<bool>,
    informs: Option<bool>,
    text: Option<String>,
    scalar: Option<f64>,
    series: Vec<(Labels, Vec<Option<Sample>>)>,
    /// Texts that warnings and infos must hold.
    told: Vec<(&'static str, String)>,
}

impl Expected {
    fn read(lines: &[&str]) -> Self {
        let mut expected = Self::default();
        for line in lines.iter().map(|line| line.trim()) {
            if let Some(what) = line.strip_prefix("expect ") {
                if let Some((kind, text)) = what.split_once(" msg:") {
                    let list = if kind == "warn" { "warnings" } else { "infos" };
                    expected.told.push((list, text.trim().to_owned()));
                }
                match what.split_whitespace().next().unwrap_or_default() {
                    "fail" => expected.fails = true,
                    "ordered" => expected.is_ordered = true,
                    "warn" => expected.warns = Some(true),
                    "info" => expected.informs = Some(true),
                    "no_warn" => expected.warns = Some(false),
                    "no_info" => expected.informs = Some(false),
                    "string" => {
                        let text = what.trim_start_matches("string").trim();
                        expected.text = Some(text.trim_matches('"').to_owned());
                    }
                    other => panic!("expect {other} is not understood"),
                }
            } else if let Ok(scalar) = line.parse::<f64>() {
                expected.scalar = Some(scalar);
            } else {
                let (labels, rest) = series(line);
                expected.series.push((labels, values(rest)));
            }
        }
        expected
    }

    fn compare(&self, answer: &Json, steps: &[i64]) -> Result<(), String> {
        let has_failed = answer["status"] != "success";
        if has_failed != self.fails {
            return Err(format!("answers {answer}"));
        }
        if has_failed {
            return Ok(());
        }
        for (wanted, name) in [(self.warns, "warnings"), (self.informs, "infos")] {
            let has = answer[name].as_array().is_some_and(|all| !all.is_empty());
            if wanted.is_some_and(|wanted| wanted != has) {
                return Err(format!("{name}: {}", answer[name]));
            }
        }
        for (list, text) in &self.told {
            let is_told = answer[list]
                .as_array()
                .is_some_and(|all| all.iter().any(|one| one.as_str().is_some_and(|one| one.contains(text.as_str()))));
            if !is_told {
                return Err(format!("{list} do not say {text}: {}", answer[list]));
            }
        }
        let (kind, result) = (answer["data"]["resultType"].as_str().unwrap_or_default(), &answer["data"]["result"]);
        match kind {
            "string" if result[1].as_str() == self.text.as_deref() => return Ok(()),
            "scalar" if self.scalar.is_some_and(|wanted| almost(wanted, sample(result))) => return Ok(()),
            "vector" | "matrix" => {}
            _ => return Err(format!("{kind} {result}")),
        }
        let found: Vec<(Labels, Vec<Option<Found>>)> = result
            .as_array()
            .into_iter()
            .flatten()
            .map(|series| {
                let labels = serde_json::from_value(series["metric"].clone()).expect("labels");
                let of_steps = match kind {
                    "vector" if series["histogram"].is_array() => {
                        vec![Some(Found::Histogram(series["histogram"][1].clone()))]
                    }
                    "vector" => vec![Some(Found::Number(sample(&series["value"])))],
                    _ => steps.iter().map(|step| at(series, *step)).collect(),
                };
                (labels, of_steps)
            })
            .collect();
        if found.len() != self.series.len() {
            return Err(format!("{} series instead of {}: {result}", found.len(), self.series.len()));
        }
        for (place, (labels, wanted)) in self.series.iter().enumerate() {
            let Some(at) = found.iter().position(|(found, _)| found == labels) else {
                return Err(format!("no series {labels:?} in {result}"));
            };
            if self.is_ordered && at != place {
                return Err(format!("{labels:?} stands at {at} instead of {place}"));
            }
            let mut wanted = wanted.clone();
            wanted.resize(found[at].1.len().max(wanted.len()), None);
            let is_same = wanted.len() == found[at].1.len()
                && wanted.iter().zip(&found[at].1).all(|pair| match pair {
                    (Some(wanted), Some(found)) => found.is(wanted),
                    (None, None) => true,
                    _ => false,
                });
            if !is_same {
                return Err(format!("{labels:?} is {:?} instead of {wanted:?}", found[at].1));
            }
        }
        Ok(())
    }
}

/// What an answer has at a step.
#[derive(Debug)]
enum Found {
    Number(f64),
    Histogram(Json),
}

impl Found {
    fn is(&self, wanted: &Sample) -> bool {
        match (self, wanted) {
            (Self::Number(found), Sample::Number(wanted)) => almost(*wanted, *found),
            (Self::Histogram(found), Sample::Histogram(wanted)) => wanted.is(found),
            _ => false,
        }
    }
}

fn sample(pair: &Json) -> f64 {
    let text = pair[1].as_str().expect("a value");
    text.replace("Inf", "inf").parse().expect("a number")
}

/// What a series has at a time, of pairs of seconds and values.
fn at(series: &Json, milliseconds: i64) -> Option<Found> {
    let is_then = |pair: &&Json| (pair[0].as_f64().expect("a time") * 1000.0).round() as i64 == milliseconds;
    let of = |name: &str| series[name].as_array().into_iter().flatten().find(is_then);
    let number = of("values").map(|pair| Found::Number(sample(pair)));
    number.or_else(|| of("histograms").map(|pair| Found::Histogram(pair[1].clone())))
}

fn almost(wanted: f64, found: f64) -> bool {
    if wanted.is_nan() || found.is_nan() {
        return wanted.is_nan() && found.is_nan();
    }
    wanted.total_cmp(&found).is_eq() || (wanted - found).abs() <= ALMOST * wanted.abs().max(found.abs())
}

async fn load(server: &Server, step: i64, lines: &[&str]) {
    let timeseries = lines
        .iter()
        .map(|line| {
            let (labels, rest) = series(line.trim());
            let (mut samples, mut histograms) = (Vec::new(), Vec::new());
            for (n, value) in values(rest).into_iter().enumerate() {
                let timestamp = n as i64 * step;
                match value {
                    Some(Sample::Number(value)) => samples.push(one::Sample { value, timestamp }),
                    Some(Sample::Histogram(histogram)) => histograms.push(histogram.sent(timestamp)),
                    None => {}
                }
            }
            one::TimeSeries {
                labels: labels.into_iter().map(|(name, value)| one::Label { name, value }).collect(),
                samples,
                histograms,
                ..one::TimeSeries::default()
            }
        })
        .collect();
    let request = one::WriteRequest { timeseries, ..one::WriteRequest::default() };
    let packed = snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).expect("packed");
    let sent = client()
        .post(format!("{}/api/v1/write", server.ui))
        .header("content-type", "application/x-protobuf")
        .header("content-encoding", "snappy")
        .body(packed)
        .send()
        .await
        .expect("an answer");
    assert!(sent.status().is_success(), "{}", sent.text().await.unwrap_or_default());
}

fn seconds(milliseconds: i64) -> String {
    format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}

/// Asks what an `eval` line says.
async fn evaluate(server: &Server, line: &str) -> (Json, Vec<i64>) {
    let mut words = line.split_whitespace();
    let mut next = || words.next().unwrap_or_else(|| panic!("{line} ends early"));
    let (_, kind) = (next(), next());
    let (path, mut form, steps) = match kind {
        "instant" => {
            assert_eq!(next(), "at", "{line}");
            let time = milliseconds(next());
            ("/api/v1/query", vec![("time", seconds(time))], vec![time])
        }
        "range" => {
            let [_, start, _, end, _, step] = [next(), next(), next(), next(), next(), next()];
            let [start, end, step] = [start, end, step].map(milliseconds);
            let form = vec![("start", seconds(start)), ("end", seconds(end)), ("step", seconds(step))];
            ("/api/v1/query_range", form, (start..=end).step_by(step as usize).collect())
        }
        other => panic!("eval {other} is not understood"),
    };
    form.push(("query", words.collect::<Vec<_>>().join(" ")));
    let answer = client().post(format!("{}{path}", server.ui)).form(&form).send().await.expect("an answer");
    (answer.json().await.expect("JSON"), steps)
}

async fn run(script: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(script).expect("a script");
    let lines: Vec<(usize, &str)> = text
        .lines()
        .enumerate()
        .map(|(number, line)| (number + 1, line.split(" # ").next().unwrap_or_default().trim_end()))
        .filter(|(_, line)| !line.is_empty() && !line.trim_start().starts_with('#'))
        .collect();
    let mut folder = tempfile::tempdir().expect("folder");
    let mut server = Server::start(folder.path(), EVERYTHING);
    let mut faults = Vec::new();
    let mut at = 0;
    while let Some((number, line)) = lines.get(at) {
        let below: Vec<&str> =
            lines[at + 1..].iter().map(|(_, line)| *line).take_while(|line| line.starts_with([' ', '\t'])).collect();
        at += 1 + below.len();
        match line.split_whitespace().next().unwrap_or_default() {
            "clear" => {
                server.kill();
                folder = tempfile::tempdir().expect("folder");
                server = Server::start(folder.path(), EVERYTHING);
            }
            "load" => load(&server, milliseconds(line.trim_start_matches("load").trim()), &below).await,
            "eval" | "eval_fail" | "eval_ordered" => {
                let mut expected = Expected::read(&below);
                expected.fails |= line.starts_with("eval_fail");
                expected.is_ordered |= line.starts_with("eval_ordered");
                let (answer, steps) = evaluate(&server, line).await;
                if let Err(fault) = expected.compare(&answer, &steps) {
                    faults.push(format!("{}:{number}: {line}: {fault}", script.display()));
                }
            }
            other => panic!("{}:{number}: {other} is not understood", script.display()),
        }
    }
    faults
}

#[tokio::test(flavor = "multi_thread")]
async fn every_evaluation_of_every_script_gives_what_it_says() {
    let mut scripts: Vec<_> = std::fs::read_dir("tests/promqltest")
        .expect("scripts")
        .map(|entry| entry.expect("a script").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "test"))
        .collect();
    scripts.sort();
    assert!(!scripts.is_empty(), "there are scripts");
    let mut faults = Vec::new();
    for script in scripts {
        faults.extend(run(&script).await);
    }
    assert!(faults.is_empty(), "{} evaluations differ:\n{}", faults.len(), faults.join("\n"));
}
