//! Patterns over free text.

use mangru_store::{Signal, words};
use regex::Regex;

/// What free text must hold.
#[derive(Clone, Debug)]
pub(crate) enum TextPattern {
    /// These words next to each other, in this order; a single word is a phrase of one.
    Words(Vec<String>),
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

/// Whether it is one character of a script without spaces: found inside any run of such characters.
pub(crate) fn is_single_cjk(word: &str) -> bool {
    let mut characters = word.chars();
    characters.next().is_some_and(words::is_cjk) && characters.next().is_none()
}

impl TextPattern {
    /// Whether a text matches. `scratch` is room for folding.
    pub(crate) fn matches(&self, text: &str, scratch: &mut String) -> bool {
        match self {
            Self::Words(wanted) => holds_phrase(text, wanted, scratch),
            Self::Prefix(prefix) => {
                let anywhere = prefix.chars().next().is_some_and(words::is_cjk);
                if anywhere {
                    return text.contains(prefix.as_str());
                }
                let mut found = false;
                words::for_each_word(text, scratch, |word| found |= word.starts_with(prefix.as_str()));
                found
            }
            Self::Glob(regex, _) | Self::Regex(regex) => regex.is_match(text),
        }
    }
}

fn word_fits(word: &str, wanted: &str) -> bool {
    // Words longer than the cut are compared by what is kept, in the index as here.
    word == words::cut(wanted) || (is_single_cjk(wanted) && word.contains(wanted))
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
