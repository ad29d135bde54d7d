//! Where in a configuration something stands.

/// The first line behind a key that holds a word, or else that of the key; comments say nothing.
pub(super) fn line_of(text: &str, key: &str, word: &str) -> u64 {
    let said = |line: &str| {
        let comment = line.match_indices('#').find(|(at, _)| *at == 0 || line[..*at].ends_with([' ', '\t']));
        line[..comment.map_or(line.len(), |(at, _)| at)].to_owned()
    };
    let lines: Vec<String> = text.lines().map(said).collect();
    let is_key = |line: &&String| line.trim_start_matches(['-', ' ']).starts_with(&format!("{key}:"));
    let key_at = lines.iter().position(|line| is_key(&line));
    let is_apart = |c: Option<char>| c.is_none_or(|c| !(c.is_alphanumeric() || c == '_' || c == '-'));
    let holds = |line: &String| {
        line.match_indices(word)
            .any(|(at, _)| is_apart(line[..at].chars().next_back()) && is_apart(line[at + word.len()..].chars().next()))
    };
    let word_from = |from: usize| {
        let found = lines.iter().skip(from).position(|line| !word.is_empty() && holds(line));
        found.map(|at| at + from)
    };
    let at = key_at.and_then(word_from).or_else(|| word_from(0)).or(key_at);
    at.map_or(0, |at| at as u64 + 1)
}
