//! What is kept and what goes, by the command line and by the configuration.

mod harness;

use harness::{Server, logs};
use serde_json::json;
use std::process::Command;
use std::time::{Duration, Instant};

/// What `mangru` with these arguments prints.
fn mangru(server: &Server, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mangru"));
    let output = command.args(arguments).args(["--server", &server.ui]).output().expect("runs");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_forgotten_by_a_query_and_stays_forgotten() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let records: Vec<_> = (0..200)
        .map(|number| (format!("order {number} placed"), vec![("user.id", format!("user-{}", number % 10))]))
        .collect();
    for first_time in [1_700_000_000_000_000_000, 1_700_000_100_000_000_000] {
        assert_eq!(server.export("logs", &logs("shop", first_time, &records)).await.0, 200);
    }
    server.flush().await;
    assert_eq!(server.export("logs", &logs("shop", 1_700_000_200_000_000_000, &records)).await.0, 200);

    assert!(mangru(&server, &["delete", "user.id:user-7"]).contains("60 rows match"));
    assert_eq!(server.count("logs", "user.id:user-7").await, 60, "a dry run deletes nothing");
    let until = ["delete", "user.id:user-7", "--end", "1700000100000000000", "--yes"];
    assert!(mangru(&server, &until).contains("20 rows deleted"));
    assert!(mangru(&server, &["delete", "user.id:user-7", "--yes"]).contains("40 rows deleted"));
    assert_eq!(server.count("logs", "user.id:user-7").await, 0);
    assert_eq!(server.count("logs", "").await, 540);
    assert_eq!(server.count("logs", "user.id:user-3").await, 60);
    let rows = server.sql("SELECT count(*) FROM logs", 10).await;
    assert_eq!(rows, [[json!(540)]]);

    // A page of another origin cannot delete: it can post text only.
    let client = harness::client();
    let body = r#"{"query":"*","dry_run":false}"#;
    let refused = client.post(format!("{}/api/v1/admin/delete", server.ui)).body(body).send().await.expect("answer");
    assert_eq!(refused.status(), 400);
    let empty = client
        .post(format!("{}/api/v1/admin/delete", server.ui))
        .header("content-type", "application/json")
        .body(r#"{"query":" ","dry_run":false}"#);
    assert_eq!(empty.send().await.expect("answer").status(), 400);

    server.kill();
    let server = Server::start(folder.path(), &[]);
    assert_eq!(server.count("logs", "user.id:user-7").await, 0);
    assert_eq!(server.count("logs", "").await, 540);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_older_than_configured_go_and_the_dry_run_says_which() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("clock").as_nanos() as u64;
    let day = 86_400_000_000_000;
    for age in [40, 20, 0] {
        let records = vec![(format!("{age} days old"), vec![])];
        assert_eq!(server.export("logs", &logs("s", now - age * day, &records)).await.0, 200);
        server.flush().await;
    }
    assert!(mangru(&server, &["retention"]).contains("0 parts"));
    server.stop();

    let server = Server::start(folder.path(), &[("MANGRU_RETENTION_LOGS_DAYS", "30")]);
    let deadline = Instant::now() + Duration::from_secs(20);
    while server.count("logs", "old").await > 2 {
        assert!(Instant::now() < deadline, "nothing goes");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(server.count("logs", "\"40 days\"").await, 0);
    assert_eq!(server.count("logs", "\"20 days\"").await, 1);
    let status = server.get("/api/v1/status", &[]).await;
    assert_eq!(status["expired_rows"], 1, "{status}");
}

/// The first part file below a folder.
fn a_part(folder: &std::path::Path) -> std::path::PathBuf {
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("folder").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                return entry.path();
            }
        }
    }
    panic!("no part below {}", folder.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_part_is_found_and_the_others_go_on_answering() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    for number in 0..3_u64 {
        let records: Vec<_> = (0..100).map(|row| (format!("part {number} row {row}"), vec![])).collect();
        let time = 1_700_000_000_000_000_000 + number * 1_000_000;
        assert_eq!(server.export("logs", &logs("s", time, &records)).await.0, 200);
        server.flush().await;
    }
    server.stop();
    let verify = |expected: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mangru"));
        let output = command.arg("verify").arg("--data-dir").arg(folder.path()).output().expect("runs");
        assert_eq!(output.status.success(), expected, "{output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    verify(true);
    let victim = a_part(&folder.path().join("objects/logs"));
    let mut bytes = std::fs::read(&victim).expect("part");
    let middle = bytes.len() / 3;
    bytes[middle] ^= 0x10;
    std::fs::write(&victim, bytes).expect("part");
    let name = victim.file_name().expect("name").to_string_lossy().into_owned();
    assert!(verify(false).contains(&name));

    let server = Server::start(folder.path(), &[]);
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let status = server.get("/api/v1/status", &[]).await;
        if status["damaged_parts"].as_array().is_some_and(|parts| !parts.is_empty()) {
            assert!(status["damaged_parts"][0].as_str().expect("path").ends_with(&name), "{status}");
            break;
        }
        assert!(Instant::now() < deadline, "the damage is not found");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let parameters = [("query", ""), ("start", "0"), ("end", harness::ALL_TIME_END), ("limit", "1000")];
    let page = server.get("/api/v1/logs", &parameters).await;
    assert_eq!(page["rows"].as_array().expect("rows").len(), 200);
    assert_eq!(page["complete"], false, "an answer without the part says so");
    assert!(page["limit_hit"].as_str().expect("why").contains(&name), "{page}");
    assert!(victim.exists(), "the file is left for who can save something of it");
}
