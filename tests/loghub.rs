//! Real log lines: what a search counts is what a plain scan of the files counts.

mod harness;

use harness::{Server, logs};
use std::path::Path;

/// Lines of a file as searches see them: words are runs of letters and digits without case.
struct Lines(Vec<String>);

fn words(line: &str) -> Vec<String> {
    line.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

impl Lines {
    fn count(&self, test: impl Fn(&str, &[String]) -> bool) -> u64 {
        self.0.iter().filter(|line| test(line, &words(line))).count() as u64
    }

    fn word(&self, word: &str) -> u64 {
        self.count(|_, words| words.iter().any(|found| found == word))
    }

    fn phrase(&self, phrase: &str) -> u64 {
        let wanted = words(phrase);
        self.count(|_, words| words.windows(wanted.len()).any(|window| window == wanted))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_over_real_logs_count_what_a_scan_counts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/loghub");
    if !folder.exists() {
        eprintln!("!!! passed over: there are no files in {}", folder.display());
        return;
    }
    let data = tempfile::tempdir().expect("folder");
    let server = Server::start(data.path(), &[]);
    let mut all = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .expect("folder")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    files.sort();
    for (number, file) in files.iter().enumerate() {
        let text = String::from_utf8_lossy(&std::fs::read(file).expect("file")).into_owned();
        let name = file.file_stem().and_then(|name| name.to_str()).expect("name").to_owned();
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for (chunk, lines) in lines.chunks(500).enumerate() {
            let records: Vec<_> = lines.iter().map(|line| (line.clone(), Vec::new())).collect();
            let time = 1_700_000_000_000_000_000 + number as u64 * 1_000_000_000 + chunk as u64 * 1_000_000;
            let (status, answer) = server.export("logs", &logs(&name, time, &records)).await;
            assert_eq!((status, answer), (200, serde_json::json!({})), "{name}");
        }
        if number == files.len() / 2 {
            // Half of the files are in parts, half are hot.
            server.flush().await;
        }
        all.extend(lines);
    }
    let lines = Lines(all);
    assert_eq!(server.count("logs", "*").await, lines.0.len() as u64);
    let regex = regex::Regex::new(r"port \d{5}").expect("regex");
    for _ in 0..2 {
        for word in ["error", "info", "failed", "connection", "root", "exception", "kernel", "4", "zzz"] {
            assert_eq!(server.count("logs", word).await, lines.word(word), "word {word}");
        }
        for phrase in ["authentication failure", "session opened for user", "jk2_init() Found child", "no such phrase"]
        {
            assert_eq!(server.count("logs", &format!("\"{phrase}\"")).await, lines.phrase(phrase), "phrase {phrase}");
        }
        let prefix = lines.count(|_, words| words.iter().any(|word| word.starts_with("auth")));
        assert_eq!(server.count("logs", "auth*").await, prefix);
        let part = lines.count(|line, _| line.to_lowercase().contains("nection"));
        assert_eq!(server.count("logs", "body:*nection*").await, part);
        assert_eq!(server.count("logs", r"/port \d{5}/").await, lines.count(|line, _| regex.is_match(line)));
        let either = lines.count(|_, words| words.iter().any(|word| word == "error" || word == "failed"));
        assert_eq!(server.count("logs", "error OR failed").await, either);
        let without = lines.count(|_, words| {
            words.iter().any(|word| word == "failed") && !words.iter().any(|word| word == "password")
        });
        assert_eq!(server.count("logs", "failed -password").await, without);
        assert_eq!(server.count("logs", "service:Apache").await, 2000);
        server.flush().await;
    }
}
