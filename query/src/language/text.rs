//! Patterns over free text.

use mangru_store::{Signal, words};
use regex::Regex;

/// What free text must hold.
#[derive(Clone, Debug)]
pub(crate) enum TextPattern {
    /// These words next to each other, in this order; a single word is a phrase of one.
    Words(Vec<String>),
    /// The same with runs of Chinese, Japanese or Korean characters among them: the first of a phrase may be the end of a
    /// longer run, the last the start of one, a run alone any part.
    Runs(Vec<String>),
    /// A word that starts so, in lower case.
    Prefix(String),
    /// The whole text fits a pattern with `*`, without case.
    Glob(Regex, String),
    /// A part of the text fits a regular expression.
    Regex(Regex),
}

/// The columns that free text is looked for in.
pub(crate) const fn columns(signal: Signal) -> &'static [&'static str] {
    match signal {
        Signal::Logs => &["body"],
        Signal::Spans => &["name", "status_message"],
        Signal::MetricPoints => &["metric_name", "metric_description"],
    }
}

/// Whether it is written without spaces between words, so that any part of it is looked for.
pub(crate) fn is_run(piece: &str) -> bool {
    piece.chars().next().is_some_and(words::is_cjk)
}

/// The words of a text in lower case; runs of characters without spaces between words stay whole.
fn pieces(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut piece = String::new();
    let mut close = |piece: &mut String| {
        if !piece.is_empty() {
            found.push(if is_run(piece) { piece.clone() } else { words::cut(piece).to_owned() });
            piece.clear();
        }
    };
    for character in text.chars() {
        if !character.is_alphanumeric() {
            close(&mut piece);
            continue;
        }
        if is_run(&piece) != words::is_cjk(character) {
            close(&mut piece);
        }
        if words::is_cjk(character) {
            piece.push(character);
        } else {
            piece.extend(character.to_lowercase());
        }
    }
    close(&mut piece);
    found
}

impl TextPattern {
    /// The words of a text, next to each other; `None` when it holds none.
    pub(crate) fn phrase(text: &str) -> Option<Self> {
        let found = pieces(text);
        match found.iter().any(|piece| is_run(piece)) {
            _ if found.is_empty() => None,
            true => Some(Self::Runs(found)),
            false => Some(Self::Words(found)),
        }
    }

    /// A word that starts so; `None` when the text is not one word.
    pub(crate) fn prefix(text: &str) -> Option<Self> {
        let mut found = pieces(text);
        let is_one = found.len() == 1 && text.chars().all(char::is_alphanumeric);
        match found.pop().filter(|_| is_one)? {
            run if is_run(&run) => Some(Self::Runs(vec![run])),
            word => Some(Self::Prefix(word)),
        }
    }

    /// Whether a text matches. `scratch` is room for folding.
    pub(crate) fn matches(&self, text: &str, scratch: &mut String) -> bool {
        match self {
            Self::Words(wanted) => holds_phrase(text, wanted, scratch),
            Self::Runs(wanted) => holds_runs(text, wanted),
            Self::Prefix(prefix) => {
                let mut found = false;
                words::for_each_word(text, scratch, |word| found |= word.starts_with(prefix.as_str()));
                found
            }
            Self::Glob(regex, _) | Self::Regex(regex) => regex.is_match(text),
        }
    }
}

/// Whether the pieces lie next to each other, the outer runs open to the outside.
fn holds_runs(text: &str, wanted: &[String]) -> bool {
    // Such characters have no case, so a text without them needs no cutting.
    if !wanted.iter().filter(|piece| is_run(piece)).all(|run| text.contains(run.as_str())) {
        return false;
    }
    let last = wanted.len() - 1;
    last == 0
        || pieces(text).windows(wanted.len()).any(|window| {
            window.iter().zip(wanted).enumerate().all(|(place, (piece, wanted))| match place {
                0 if is_run(wanted) => piece.ends_with(wanted.as_str()),
                _ if place == last && is_run(wanted) => piece.starts_with(wanted.as_str()),
                _ => piece == wanted,
            })
        })
}

fn word_fits(word: &str, wanted: &str) -> bool {
    // Words longer than the cut are compared by what is kept, in the index as here.
    word == words::cut(wanted)
}

fn holds_phrase(text: &str, wanted: &[String], scratch: &mut String) -> bool {
    let [first, rest @ ..] = wanted else { return true };
    let mut found = false;
    if rest.is_empty() {
        words::for_each_word(text, scratch, |word| found = found || word_fits(word, first));
        return found;
    }
    // Bit n is set when the words so far end with the first n + 1 words of the phrase.
    if wanted.len() <= 64 {
        let mut ends: u64 = 0;
        let last = 1_u64 << (wanted.len() - 1);
        words::for_each_word(text, scratch, |word| {
            let mut next = 0;
            for (index, wanted) in wanted.iter().enumerate() {
                let reachable = index == 0 || ends & (1 << (index - 1)) != 0;
                if reachable && word_fits(word, wanted) {
                    next |= 1 << index;
                }
            }
            ends = next;
            found = found || ends & last != 0;
        });
        return found;
    }
    let all = words::words(text);
    all.windows(wanted.len()).any(|window| window.iter().zip(wanted).all(|(word, wanted)| word_fits(word, wanted)))
}

/// A pattern with `*` for any text as an anchored regular expression.
pub(crate) fn glob_regex(pattern: &str, ignore_case: bool) -> Result<Regex, regex::Error> {
    let flags = if ignore_case { "(?is)" } else { "(?s)" };
    let body = pattern.split('*').map(regex::escape).collect::<Vec<_>>().join(".*");
    regex::RegexBuilder::new(&format!("{flags}^{body}$")).size_limit(1 << 20).build()
}
