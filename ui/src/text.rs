//! What the pages say, in the reader's language.
//!
//! The English text stands in the code and is its own key; `ui/text/ko.txt` holds the Korean of each, so a page can be
//! moved over one text at a time. A text without a translation is shown in English. The tests read the sources and name
//! every text that has no Korean, and every Korean that nothing says.

mod told;

pub(crate) use told::told;

use leptos::prelude::{AnyView, IntoAny as _, Owner, provide_context, use_context};
use std::collections::HashMap;
use std::sync::LazyLock;

static KOREAN: LazyLock<HashMap<&'static str, &'static str>> =
    LazyLock::new(|| pairs(include_str!("../text/ko.txt")).collect());

/// A language of the pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    /// As the code has it.
    English,
    /// As `ui/text/ko.txt` has it.
    Korean,
}

impl Language {
    /// Every language, in the order of the control.
    pub(crate) const ALL: [Self; 2] = [Self::English, Self::Korean];

    /// The code in the cookie and in `<html lang>`.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Korean => "ko",
        }
    }

    /// Its name in itself.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Korean => "한국어",
        }
    }

    /// The language of the page that is being rendered.
    pub(crate) fn of_page() -> Self {
        use_context().unwrap_or(Self::English)
    }

    /// Runs what says something beside a page, such as an answer to a script, in this language.
    pub(crate) fn scope<T>(self, say: impl FnOnce() -> T) -> T {
        let owner = Owner::new();
        owner.with(|| {
            provide_context(self);
            say()
        })
    }

    /// The language of a code such as `ko` or `ko-KR`.
    pub(crate) fn of_code(code: &str) -> Option<Self> {
        let primary = code.split(['-', '_']).next().unwrap_or(code);
        Self::ALL.into_iter().find(|language| primary.eq_ignore_ascii_case(language.code()))
    }

    /// The first language of an `Accept-Language` header that the pages have, by the weights it gives.
    pub(crate) fn accepted(header: &str) -> Option<Self> {
        let mut wanted: Vec<(f32, Self)> = header
            .split(',')
            .filter_map(|range| {
                let mut parts = range.split(';');
                let language = Self::of_code(parts.next()?.trim())?;
                let weight = parts.find_map(|part| part.trim().strip_prefix("q=")?.parse::<f32>().ok()).unwrap_or(1.0);
                (weight > 0.0).then_some((weight, language))
            })
            .collect();
        // Of equal weights the first counts: the sort keeps their order.
        wanted.sort_by(|left, right| right.0.total_cmp(&left.0));
        wanted.first().map(|(_, language)| *language)
    }
}

/// The text in the language of the page that is being rendered.
pub(crate) fn tr(english: &'static str) -> &'static str {
    match Language::of_page() {
        Language::English => english,
        Language::Korean => KOREAN.get(english).copied().unwrap_or(english),
    }
}

/// What a text is in the language of the page, when it is not known before the program runs; `None` where that is the text itself.
pub(crate) fn tr_any(english: &str) -> Option<&'static str> {
    match Language::of_page() {
        Language::English => None,
        Language::Korean => KOREAN.get(english).copied(),
    }
}

/// The text with values at `{0}`, `{1}` …, which each language may put where it needs them.
pub(crate) fn trf(english: &'static str, values: &[&str]) -> String {
    filled(tr(english), values)
}

/// The text with pieces of the page at `{0}`, `{1}` …: links, code, moments.
pub(crate) fn trv<const N: usize>(english: &'static str, views: [AnyView; N]) -> AnyView {
    let mut views = views.map(Some);
    let shown: Vec<AnyView> = pieces(tr(english), N)
        .filter_map(|piece| match piece {
            Piece::Text(text) => Some(text.to_owned().into_any()),
            Piece::Place(place) => views[place].take(),
        })
        .collect();
    shown.into_any()
}

/// A text with values at its places.
pub(crate) fn filled(text: &str, values: &[&str]) -> String {
    let piece = |piece| match piece {
        Piece::Text(text) => text,
        Piece::Place(place) => values[place],
    };
    pieces(text, values.len()).map(piece).collect()
}

/// A piece of a text with places.
#[derive(Clone, Copy)]
enum Piece<'a> {
    /// What stands in it as it is.
    Text(&'a str),
    /// The place of a value, below the number of values.
    Place(usize),
}

/// A text cut at its places; braces that hold no number of a value are text.
fn pieces(text: &str, values: usize) -> impl Iterator<Item = Piece<'_>> {
    let place = move |text: &str| {
        let (number, _) = text.strip_prefix('{')?.split_once('}')?;
        let place = number.parse::<usize>().ok().filter(|place| *place < values)?;
        Some((place, number.len() + 2))
    };
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        if let Some((place, length)) = place(rest) {
            rest = &rest[length..];
            return Some(Piece::Place(place));
        }
        let next = rest.match_indices('{').map(|(at, _)| at).find(|at| place(&rest[*at..]).is_some());
        let (piece, after) = rest.split_at(next.unwrap_or(rest.len()));
        rest = after;
        Some(Piece::Text(piece))
    })
}

/// The pairs of a message file: the English line, its translation in the next, an empty line between pairs; `#` begins
/// a comment.
fn pairs(file: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut lines = file.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    std::iter::from_fn(move || Some((lines.next()?, lines.next()?)))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    /// What something says in Korean.
    pub(crate) fn in_korean<T>(say: impl FnOnce() -> T) -> T {
        Language::Korean.scope(say)
    }

    #[test]
    fn the_language_is_that_of_the_cookie_or_of_the_browser() {
        assert_eq!(Language::accepted("ko-KR,ko;q=0.9,en;q=0.8"), Some(Language::Korean));
        assert_eq!(Language::accepted("fr, en;q=0.5, ko;q=0.7"), Some(Language::Korean));
        assert_eq!(Language::accepted("de, en-GB;q=0.3, ko;q=0"), Some(Language::English));
        assert_eq!(Language::accepted("de, *"), None);
        assert_eq!(Language::of_code("ko_KR"), Some(Language::Korean));
    }

    #[test]
    fn values_stand_where_the_language_puts_them_and_are_not_read_again() {
        assert_eq!(filled("{1} of {0}", &["a{1}", "b"]), "b of a{1}");
        assert_eq!(filled("{2} {x {", &["a"]), "{2} {x {");
        assert_eq!(filled("{{0}} {0", &["a"]), "{a} {0");
    }

    /// The files of the crate with what they hold, without the tests at their ends, which say nothing on a page.
    pub(crate) fn sources() -> Vec<(PathBuf, String)> {
        fn below(folder: &Path, files: &mut Vec<(PathBuf, String)>) {
            for entry in std::fs::read_dir(folder).expect("the sources").flatten() {
                let path = entry.path();
                if path.is_dir() {
                    below(&path, files);
                } else if path.extension().is_some_and(|ending| ending == "rs") {
                    let source = std::fs::read_to_string(&path).expect("a source");
                    let tests = ["#[cfg(test)]\nmod tests {", "#[cfg(test)]\npub(crate) mod tests {"];
                    let end = tests.iter().find_map(|opening| source.find(opening)).unwrap_or(source.len());
                    let said = source[..end].to_owned();
                    files.push((path, said));
                }
            }
        }
        let mut files = Vec::new();
        below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
        files
    }

    /// The text of a literal that was opened before `rest`, and what follows it.
    fn literal(rest: &str) -> (String, &str) {
        let mut text = String::new();
        let mut chars = rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => return (text, &rest[at + 1..]),
                '\\' => text.extend(chars.next().map(|(_, c)| c)),
                c => text.push(c),
            }
        }
        (text, "")
    }

    /// The texts that the pages give to `tr`, `trf` and `trv`.
    fn said() -> BTreeSet<String> {
        let mut texts = crate::dashboards::words::said();
        texts.extend(super::told::SAID.iter().map(|text| (*text).to_owned()));
        for (_, source) in sources() {
            for call in ["tr(", "trf(", "trv("] {
                for (at, _) in source.match_indices(call) {
                    let before = source[..at].chars().next_back().unwrap_or(' ');
                    let Some(rest) = source[at + call.len()..].trim_start().strip_prefix('"') else { continue };
                    if !before.is_alphanumeric() && before != '_' {
                        texts.insert(literal(rest).0);
                    }
                }
            }
        }
        texts
    }

    #[test]
    fn every_text_has_its_korean_and_nothing_else_is_kept() {
        let texts = said();
        assert!(texts.len() > 10, "the texts are found: {texts:?}");
        let known: BTreeSet<String> =
            pairs(include_str!("../text/ko.txt")).map(|(english, _)| english.to_owned()).collect();
        let missing: Vec<_> = texts.difference(&known).collect();
        let unused: Vec<_> = known.difference(&texts).collect();
        assert!(missing.is_empty(), "ui/text/ko.txt has no Korean for {missing:#?}");
        assert!(unused.is_empty(), "ui/text/ko.txt translates what no page says: {unused:#?}");
    }

    #[test]
    fn a_translation_holds_the_same_values() {
        for (english, korean) in pairs(include_str!("../text/ko.txt")) {
            for number in 0..6 {
                let place = format!("{{{number}}}");
                assert_eq!(english.contains(&place), korean.contains(&place), "{english}: {place}");
            }
        }
    }

    /// What may stand on a page as it is: names, keys, code, examples of a language of queries.
    const SAID_BY_ALL: [&str; 18] = [
        "Mangru",
        "JSON",
        "NULL",
        "Ctrl",
        "Enter",
        " · OTLP/gRPC ",
        " · OTLP/HTTP ",
        "sum by (le) (increase(http_server_request_duration_seconds_bucket[1m]))",
        // Examples in empty boxes.
        "service.name",
        "alertname=\"HighErrorRate\", service_name=~\"pay.*\"",
        "{ \"title\": …, \"panels\": [ … ] }",
        "service:checkout level>=warn \"connection refused\"",
        "service:checkout status:error duration>250ms",
        "SELECT * FROM logs LIMIT 20",
        "mangru demo",
        "> 10, > 5%, p95 > 500ms",
        "traceparent",
        "specimen",
    ];

    /// Whether a literal with `before` and `after` around it is said to a reader: between tags, in an attribute that is
    /// shown or read aloud, or as the title of a tab.
    fn is_said(before: &str, after: &str) -> bool {
        let before = before.trim_end();
        let next = after.trim_start().chars().next().unwrap_or(' ');
        let follows_a_tag = before.ends_with('>') && !before.ends_with("=>") && !before.ends_with("->");
        let lies_within = before.ends_with('}') && matches!(next, '<' | '{');
        let is_attribute = ["aria-label=", "title=", "placeholder=", "alt=", "title:"];
        follows_a_tag || lies_within || is_attribute.iter().any(|name| before.ends_with(name))
    }

    #[test]
    fn nothing_is_said_past_the_translations() {
        let has_a_word = |text: &str| text.split(|c: char| !c.is_ascii_alphabetic()).any(|word| word.len() >= 4);
        let mut bare = Vec::new();
        for (path, source) in sources() {
            // The gallery shows pieces to those who build them.
            if ["gallery", "samples"].iter().any(|folder| path.to_string_lossy().contains(folder)) {
                continue;
            }
            let source: String =
                source.lines().map(|line| line.split("// ").next().unwrap_or("").to_owned() + "\n").collect();
            let mut rest = source.as_str();
            while let Some((before, opened)) = rest.split_once('"') {
                let (text, after) = literal(opened);
                let is_char = before.ends_with('\'');
                if !is_char && has_a_word(&text) && is_said(before, after) && !SAID_BY_ALL.contains(&text.as_str()) {
                    bare.push(format!("{}: {text}", path.display()));
                }
                rest = if is_char { opened } else { after };
            }
        }
        assert!(bare.is_empty(), "these pass tr by: {bare:#?}");
    }
}
