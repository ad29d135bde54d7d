//! Real log lines: what a search counts is what a plain scan of the files counts.
//!
//! The words, phrases, prefixes and parts that are searched are taken from the lines themselves, by a fixed seed, so that
//! they are the ones that real lines hold; each is asked while half of the lines are hot, and again when all are in parts.

mod harness;

use harness::{Server, logs, passed_over};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::path::Path;

/// A line as searches see it: its text without case, and its words (runs of letters and digits, without case).
struct Line {
    text: String,
    folded: String,
    words: Vec<String>,
}

impl Line {
    fn new(text: &str) -> Self {
        let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        Self { text: text.to_owned(), folded: text.to_lowercase(), words: words.map(str::to_lowercase).collect() }
    }

    fn has(&self, word: &str) -> bool {
        self.words.iter().any(|found| found == word)
    }
}

/// A query, and how many lines it should find.
struct Question {
    query: String,
    expected: u64,
}

fn count(lines: &[Line], test: impl Fn(&Line) -> bool) -> u64 {
    lines.iter().filter(|line| test(line)).count() as u64
}

/// Questions about words that the lines hold, and about some that they do not.
fn questions(lines: &[Line]) -> Vec<Question> {
    let mut random = StdRng::seed_from_u64(20_261_120);
    let mut questions = Vec::new();
    let mut ask = |query: String, expected: u64| questions.push(Question { query, expected });
    // A word of a search, not an operator of its language.
    let is_plain = |word: &str| !["and", "or", "not"].contains(&word);
    for _ in 0..40 {
        let mut word = || loop {
            let line = &lines[random.random_range(0..lines.len())];
            if line.words.is_empty() {
                continue;
            }
            let place = random.random_range(0..line.words.len());
            if is_plain(&line.words[place]) && line.words[place].is_ascii() {
                break (line, place, random.random::<u32>());
            }
        };
        let (line, place, number) = word();
        let one = &line.words[place];
        let (other_line, other_place, _) = word();
        let other = &other_line.words[other_place];
        ask(one.clone(), count(lines, |line| line.has(one)));
        ask(one.to_uppercase(), count(lines, |line| line.has(one)));
        ask(format!("{one} {other}"), count(lines, |line| line.has(one) && line.has(other)));
        ask(format!("{one} OR {other}"), count(lines, |line| line.has(one) || line.has(other)));
        ask(format!("{one} -{other}"), count(lines, |line| line.has(one) && !line.has(other)));
        ask(format!("NOT ({one} OR {other})"), count(lines, |line| !line.has(one) && !line.has(other)));
        let prefix = &one[..=number as usize % one.len()];
        ask(format!("{prefix}*"), count(lines, |line| line.words.iter().any(|word| word.starts_with(prefix))));
        let part = &one[number as usize % one.len()..];
        ask(format!("body:*{part}*"), count(lines, |line| line.folded.contains(part)));
        let phrase = &line.words[place..(place + 2 + number as usize % 2).min(line.words.len())];
        let has_phrase = |line: &Line| line.words.windows(phrase.len()).any(|window| window == phrase);
        ask(format!("\"{}\"", phrase.join(" ")), count(lines, has_phrase));
    }
    for pattern in [r"port \d{5}", r"\[\w+\]", r"(?i)ERROR", r"0x[0-9a-f]{6,}", r"^\d{2}/\d{2}/\d{2} ", "user=root$"] {
        let regex = regex::Regex::new(pattern).expect("regex");
        ask(format!("/{}/", pattern.replace('/', r"\/")), count(lines, |line| regex.is_match(&line.text)));
    }
    for phrase in ["authentication failure", "session opened for user", "no such phrase at all"] {
        let wanted = Line::new(phrase).words;
        let has_phrase = |line: &Line| line.words.windows(wanted.len()).any(|window| window == wanted);
        ask(format!("\"{phrase}\""), count(lines, has_phrase));
    }
    ask("zzzznothing".to_owned(), 0);
    ask("*".to_owned(), lines.len() as u64);
    questions
}

#[tokio::test(flavor = "multi_thread")]
async fn searches_over_real_logs_count_what_a_scan_counts() {
    let folder = Path::new("../shared/data/loghub");
    if !folder.exists() {
        passed_over("the samples of Loghub are not beside the repository, in ../shared/data/loghub");
        return;
    }
    let data = tempfile::tempdir().expect("folder");
    let server = Server::start(data.path(), &[]);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("folder")
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    files.sort();
    let mut lines = Vec::new();
    let mut per_service = Vec::new();
    for (number, file) in files.iter().enumerate() {
        let text = String::from_utf8_lossy(&std::fs::read(file).expect("file")).into_owned();
        let name = file.file_stem().and_then(|name| name.to_str()).expect("name").to_owned();
        let of_file: Vec<&str> = text.lines().collect();
        for (chunk, of_chunk) in of_file.chunks(500).enumerate() {
            let records: Vec<_> = of_chunk.iter().map(|line| ((*line).to_owned(), Vec::new())).collect();
            let time = 1_700_000_000_000_000_000 + number as u64 * 1_000_000_000 + chunk as u64 * 1_000_000;
            let (status, answer) = server.export("logs", &logs(&name, time, &records)).await;
            assert_eq!((status, answer), (200, serde_json::json!({})), "{name}");
        }
        if number == files.len() / 2 {
            // Half of the files are in parts, half are hot.
            server.flush().await;
        }
        lines.extend(of_file.iter().map(|line| Line::new(line)));
        per_service.push((name, of_file.len() as u64));
    }
    let mut questions = questions(&lines);
    questions.extend(
        per_service.into_iter().map(|(name, expected)| Question { query: format!("service:{name}"), expected }),
    );
    for state in ["half hot", "in parts"] {
        let mut wrong = Vec::new();
        for Question { query, expected } in &questions {
            let counted = server.count("logs", query).await;
            if counted != *expected {
                wrong.push(format!("{query}: {counted} counted, {expected} expected"));
            }
        }
        assert!(wrong.is_empty(), "{state}, {} of {} wrong:\n{}", wrong.len(), questions.len(), wrong.join("\n"));
        server.flush().await;
    }
    println!("{} lines, {} questions, asked twice", lines.len(), questions.len());
}
