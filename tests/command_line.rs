//! The command line as a person and as an init system use it: settings, faults in them, start, stop, and the small tools.

mod harness;

use harness::{ALL_TIME_END, Server, client, logs};
use serde_json::Value as Json;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

const FREE_PORTS: [&str; 6] = ["--otlp-grpc", "127.0.0.1:0", "--otlp-http", "127.0.0.1:0", "--http", "127.0.0.1:0"];
/// An orderly stop takes ten seconds at most; a busy machine is given some more.
const STOPS_WITHIN: Duration = Duration::from_secs(15);

fn mangru(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mangru"));
    command.args(arguments).env("MANGRU_STORE_DISK_RESERVE_MIB", "0").env("MANGRU_SELF_METRICS_SECONDS", "0");
    command
}

/// Runs to the end.
fn output(arguments: &[&str]) -> Output {
    mangru(arguments).output().expect("runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A child that is killed when the test ends early.
struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("starts");
        let lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        Self { child, lines }
    }

    /// The rest of the first line that begins with a word.
    fn value(&mut self, word: &str) -> String {
        let line = self.lines.by_ref().map(|line| line.expect("text")).find(|line| line.starts_with(word));
        line.expect("such a line").strip_prefix(word).expect("the word").trim().to_owned()
    }

    /// Asks it to stop; gives whether it said that all was well, and how long it took.
    fn stop(mut self) -> (bool, Duration) {
        let asked = Instant::now();
        assert!(Command::new("kill").arg(self.child.id().to_string()).status().expect("kill").success());
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return (status.success(), asked.elapsed());
            }
            assert!(asked.elapsed() < STOPS_WITHIN, "it does not stop");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_flag_wins_over_the_environment_and_the_environment_over_the_file() {
    let folder = tempfile::tempdir().expect("folder");
    let place = |name: &str| folder.path().join(name).display().to_string();
    let file = place("mangru.yaml");
    std::fs::write(&file, format!("data_dir: {}\n", place("of-the-file"))).expect("write");
    let used = |variable: bool, flag: bool| {
        let mut command = mangru(&["serve", "--config", &file]);
        command.args(FREE_PORTS);
        if variable {
            command.env("MANGRU_DATA_DIR", place("of-the-environment"));
        }
        if flag {
            command.args(["--data-dir", &place("of-the-flag")]);
        }
        let mut running = Running::start(command);
        let used = running.value("data ");
        running.value("ui ");
        assert!(Path::new(&used).is_dir());
        used
    };
    assert_eq!(used(false, false), place("of-the-file"));
    assert_eq!(used(true, false), place("of-the-environment"));
    assert_eq!(used(true, true), place("of-the-flag"));
}

#[test]
fn a_wrong_configuration_ends_the_program_before_anything_starts() {
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("mangru.yaml").display().to_string();
    let data = folder.path().join("data");
    for (text, wanted) in [
        ("store:\n  seal_rowz: 5\n", "mangru.yaml:2:3: store.seal_rowz: unknown field `seal_rowz`"),
        ("otlp:\n  grpc: here\n", "mangru.yaml:2: otlp.grpc is `here`"),
        ("query:\n\n  max_limit: 0\n", "mangru.yaml:3: query.max_limit is 0, allowed are 1 to 1000000"),
        ("store: [\n", "mangru.yaml:"),
    ] {
        std::fs::write(&file, text).expect("write");
        for command in [
            vec!["serve", "--data-dir", &data.display().to_string(), "--config", &file],
            vec!["config", "check", &file],
        ] {
            let output = output(&command);
            assert!(!output.status.success() && output.stdout.is_empty());
            assert!(stderr(&output).contains(wanted), "{}", stderr(&output));
        }
    }
    let typo = mangru(&["serve"]).env("MANGRU_STORE_SEAL_ROWZ", "5").output().expect("runs");
    assert!(
        !typo.status.success() && stderr(&typo).contains("MANGRU_STORE_SEAL_ROWZ is no setting"),
        "{}",
        stderr(&typo)
    );
    assert!(!data.exists());
}

#[test]
fn a_port_that_is_taken_is_named() {
    let folder = tempfile::tempdir().expect("folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
    let address = taken.local_addr().expect("address").to_string();
    for flag in ["--otlp-grpc", "--otlp-http", "--http"] {
        let mut command = mangru(&["serve", "--data-dir"]);
        command.arg(folder.path());
        for pair in FREE_PORTS.chunks(2) {
            command.args([pair[0], if pair[0] == flag { &address } else { pair[1] }]);
        }
        let output = command.output().expect("runs");
        assert!(!output.status.success());
        assert!(stderr(&output).contains(&address), "{flag}: {}", stderr(&output));
    }
}

#[tokio::test]
async fn a_data_folder_belongs_to_one_process() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let mut second = mangru(&["serve", "--data-dir"]);
    let output = second.arg(folder.path()).args(FREE_PORTS).output().expect("runs");
    assert!(!output.status.success());
    assert!(stderr(&output).contains(&folder.path().display().to_string()), "{}", stderr(&output));
    assert_eq!(server.get_status("/api/v1/logs", &[]).await.0, 200);
}

#[tokio::test]
async fn sigterm_stops_in_time_while_somebody_watches_and_nothing_is_lost() {
    let folder = tempfile::tempdir().expect("folder");
    let mut command = mangru(&["serve", "--data-dir"]);
    command.arg(folder.path()).args(FREE_PORTS);
    let mut running = Running::start(command);
    let (http, ui) = (running.value("otlp http"), running.value("ui "));
    let mut tail = client().get(format!("{ui}api/v1/tail")).send().await.expect("tail");
    let body = logs("shop", 1_700_000_000_000_000_000, &[("the last words".to_owned(), Vec::new())]).to_string();
    let request = client().post(format!("http://{http}/v1/logs")).header("content-type", "application/json").body(body);
    assert!(request.send().await.expect("answer").status().is_success());

    let (was_well, took) = tokio::task::spawn_blocking(move || running.stop()).await.expect("stops");
    assert!(was_well);
    assert!(took < Duration::from_secs(10), "{took:?}");
    // The stream of the tail has an end, too.
    while let Ok(Some(_)) = tail.chunk().await {}

    let again = Server::start(folder.path(), &[]);
    assert_eq!(again.count("logs", "\"the last words\"").await, 1);
}

#[tokio::test]
async fn query_prints_what_a_running_server_finds() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let records: Vec<_> = (0..5).map(|number| (format!("order {number} placed"), Vec::new())).collect();
    assert_eq!(server.export("logs", &logs("shop", 1_700_000_000_000_000_000, &records)).await.0, 200);
    let ask = |arguments: &[&str]| {
        let range = ["--start", "2023-11-14T00:00:00Z", "--end", ALL_TIME_END];
        output(&[&["query", "--server", server.ui.as_str()], &range[..], arguments].concat())
    };

    let found = ask(&["order", "--limit", "3", "--format", "ndjson"]);
    assert!(found.status.success(), "{}", stderr(&found));
    let rows: Vec<Json> = stdout(&found).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let bodies: Vec<&str> = rows.iter().filter_map(|row| row["body"].as_str()).collect();
    assert_eq!(bodies, ["order 4 placed", "order 3 placed", "order 2 placed"]);
    assert!(stderr(&found).starts_with("3 of 5 matches"), "{}", stderr(&found));

    let table = stdout(&ask(&["\"order 1\""]));
    assert_eq!(table.lines().count(), 1);
    assert!(table.contains("INFO") && table.contains("shop") && table.contains("order 1 placed"), "{table}");

    let sql = ask(&["--sql", "SELECT service_name, count(*) AS logs FROM logs GROUP BY 1"]);
    let cells: Vec<Vec<String>> =
        stdout(&sql).lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect();
    assert_eq!(cells[0], ["service_name", "logs"]);
    assert!(cells[1].iter().all(|rule| rule.chars().all(|c| c == '─')), "{cells:?}");
    assert_eq!(cells[2..], [["shop", "5"]]);
    let csv = ask(&["--sql", "SELECT body FROM logs ORDER BY time", "--format", "csv", "--limit", "2"]);
    assert_eq!(stdout(&csv), "body\r\norder 0 placed\r\norder 1 placed\r\n");
    assert!(stderr(&csv).contains("not all: limit of 2 rows"), "{}", stderr(&csv));
    let refused = ask(&["order", "--format", "csv"]);
    assert!(!refused.status.success() && stderr(&refused).contains("--sql"), "{}", stderr(&refused));

    let wrong = ask(&["order AND ("]);
    assert!(!wrong.status.success() && stderr(&wrong).contains("at character"), "{}", stderr(&wrong));
    let nobody = output(&["query", "--server", "http://127.0.0.1:1", "x"]);
    assert!(
        !nobody.status.success() && stderr(&nobody).contains("cannot reach http://127.0.0.1:1"),
        "{}",
        stderr(&nobody)
    );
}

#[tokio::test]
async fn tail_prints_the_lines_that_match_as_they_come() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let mut tail = Running::start(mangru(&["tail", "--server", &server.ui, "wanted"]));
    let line = tokio::task::spawn_blocking(move || tail.lines.next().expect("a line").expect("text"));
    // The tail is open when it prints, so it is written to until then.
    let deadline = Instant::now() + Duration::from_secs(30);
    for number in 0.. {
        assert!(Instant::now() < deadline, "nothing is printed");
        let records = [("another line".to_owned(), Vec::new()), (format!("wanted {number}"), Vec::new())];
        assert_eq!(server.export("logs", &logs("shop", 1_700_000_000_000_000_000, &records)).await.0, 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
        if line.is_finished() {
            break;
        }
    }
    let line = line.await.expect("a line");
    assert!(line.contains("shop") && line.contains("wanted "), "{line}");
}

#[tokio::test]
async fn probes_answer_and_metrics_are_prometheus_text_that_counts() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    for probe in ["/healthz", "/readyz"] {
        let answer = client().get(format!("{}{probe}", server.ui)).send().await.expect("answer");
        assert_eq!(answer.status(), 200, "{probe}");
    }
    let records: Vec<_> = (0..7).map(|number| (format!("line {number}"), Vec::new())).collect();
    assert_eq!(server.export("logs", &logs("shop", 1_700_000_000_000_000_000, &records)).await.0, 200);
    assert_eq!(server.post("/v1/logs", "application/json", b"{".to_vec()).await.0, 400);
    server.flush().await;

    let text = client().get(format!("{}/metrics", server.ui)).send().await.expect("answer").text().await.expect("text");
    let sample = regex::Regex::new(r#"^([a-z_]+)(\{([a-z_]+="[^"]*",?)+\})? [0-9.e+-]+$"#).expect("pattern");
    let mut typed = Vec::new();
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            typed.push(kind.split(' ').next().expect("a name"));
        } else if !line.starts_with("# HELP ") {
            let name = sample.captures(line).unwrap_or_else(|| panic!("`{line}` is no sample")).get(1);
            assert_eq!(name.map(|name| name.as_str()), typed.last().copied(), "{line}");
        }
    }
    for wanted in [
        "mangru_part_rows{table=\"logs\"} 7",
        "mangru_hot_rows{table=\"logs\"} 0",
        "mangru_appended_rows_total{table=\"logs\"} 7",
    ] {
        assert!(text.lines().any(|line| line == wanted), "{wanted} is not in\n{text}");
    }
    let counted = |name: &str, value: &str| {
        let mut lines = text.lines().filter(|line| line.starts_with(&format!("{name}{{signal=\"logs\"")));
        assert!(lines.any(|line| line.ends_with(value)), "{name} is not{value} in\n{text}");
    };
    counted("mangru_received_rows_total", " 7");
    counted("mangru_received_requests_total", " 1");
    counted("mangru_refused_requests_total", " 1");
}

#[tokio::test]
async fn the_demo_fills_the_screens_by_itself() {
    let folder = tempfile::tempdir().expect("folder");
    let mut command = mangru(&["demo", "--data-dir"]);
    command.arg(folder.path()).args(FREE_PORTS);
    let mut running = Running::start(command);
    let ui = running.value("ui ");
    let ask = async |path: &str| -> Json {
        client().get(format!("{ui}api/v1/{path}")).send().await.expect("answer").json().await.expect("JSON")
    };
    let count = async |path: &str| ask(path).await["matched"].as_u64().unwrap_or_default();
    let metrics = async || -> u64 {
        let body = r#"{"sql":"SELECT count(DISTINCT metric_name) FROM metric_points"}"#;
        let answer = client().post(format!("{ui}api/v1/sql")).body(body).send().await.expect("answer");
        answer.json::<Json>().await.expect("JSON")["rows"][0][0].as_u64().unwrap_or_default()
    };
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let services = ask("services").await["services"].as_array().map_or(0, Vec::len);
        let exceptions = count("spans/count?query=event.exception.type:*").await;
        let retries = count("logs/count?query=%22failed%20after%204%20attempts%22").await;
        let slow = count("logs/count?query=%22slow%20query%20took%22").await;
        let consumed = count("spans/count?query=kind:consumer").await;
        let (names, seen) = (metrics().await, [exceptions, retries, slow, consumed]);
        if services == 11 && names >= 5 && seen.iter().all(|count| *count > 0) {
            break;
        }
        assert!(Instant::now() < deadline, "{services} services, {names} metrics, {seen:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // One visit is one trace through many services; the newest is not there in whole yet.
    loop {
        let found = ask("traces?query=service:shipping&limit=1&end=-2s").await;
        let services = found["rows"][0]["services"].as_array().map_or(0, Vec::len);
        if services >= 6 && found["rows"][0]["root_service"] == "web-frontend" {
            break;
        }
        assert!(Instant::now() < deadline, "{found}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let (was_well, _) = tokio::task::spawn_blocking(move || running.stop()).await.expect("stops");
    assert!(was_well);
}

#[test]
fn the_benchmarks_run_and_print_their_tables() {
    let ingest = output(&["bench", "ingest", "--events", "3000", "--batch", "500", "--connections", "2"]);
    assert!(ingest.status.success(), "{}", stderr(&ingest));
    let table = stdout(&ingest);
    for (line, signal) in table.lines().skip(1).zip(["logs", "spans", "metrics"]) {
        let cells: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(cells[..2], [signal, "3000"], "{table}");
        let figures: Vec<f64> = cells[2..].iter().filter_map(|cell| cell.trim_end_matches("ms").parse().ok()).collect();
        assert!(figures.len() >= 8 && figures[0] > 0.0, "{table}");
    }
    assert_eq!(table.lines().count(), 4, "{table}");

    let query = output(&["bench", "query", "--events", "2000", "--times", "1"]);
    assert!(query.status.success(), "{}", stderr(&query));
    assert_eq!(stdout(&query).lines().count(), 22, "{}", stdout(&query));

    let wrong = output(&["bench", "ingest", "--signal", "smells"]);
    assert!(!wrong.status.success() && stderr(&wrong).contains("logs, spans, metrics or all"));
}
