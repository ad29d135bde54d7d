//! What the pages say, in the reader's language.
//!
//! The English text stands in the code and is its own key; `ui/text/ko.txt` holds the Korean of each, so a page can be
//! moved over one text at a time. A text without a translation is shown in English. The tests read the sources and name
//! every text that has no Korean, and every Korean that nothing says.

use leptos::prelude::use_context;
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
    match use_context::<Language>() {
        Some(Language::Korean) => KOREAN.get(english).copied().unwrap_or(english),
        _ => english,
    }
}

/// The text with values at `{0}`, `{1}` …, which each language may put where it needs them.
pub(crate) fn trf(english: &'static str, values: &[&str]) -> String {
    filled(tr(english), values)
}

fn filled(text: &str, values: &[&str]) -> String {
    let mut out = String::with_capacity(text.len() + values.iter().map(|value| value.len()).sum::<usize>());
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        let place =
            rest[open + 1..].split_once('}').and_then(|(number, after)| Some((number.parse::<usize>().ok()?, after)));
        match place.and_then(|(number, after)| Some((values.get(number)?, after))) {
            Some((value, after)) => {
                out.push_str(value);
                rest = after;
            }
            None => {
                out.push('{');
                rest = &rest[open + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The pairs of a message file: the English line, its translation in the next, an empty line between pairs; `#` begins
/// a comment.
fn pairs(file: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut lines = file.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    std::iter::from_fn(move || Some((lines.next()?, lines.next()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

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
    }

    /// The texts that a source file gives to `tr` and `trf`.
    fn said(source: &str, texts: &mut BTreeSet<String>) {
        // Tests at the end of a file say nothing on a page.
        let source = source.split("#[cfg(test)]").next().unwrap_or("");
        for call in ["tr(", "trf("] {
            for (at, _) in source.match_indices(call) {
                let before = source[..at].chars().next_back().unwrap_or(' ');
                let Some(rest) = source[at + call.len()..].trim_start().strip_prefix('"') else { continue };
                if before.is_alphanumeric() || before == '_' {
                    continue;
                }
                let mut text = String::new();
                let mut chars = rest.chars();
                while let Some(c) = chars.next() {
                    match c {
                        '"' => break,
                        '\\' => text.extend(chars.next()),
                        c => text.push(c),
                    }
                }
                texts.insert(text);
            }
        }
    }

    fn sources(folder: &Path, texts: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).expect("the sources").flatten() {
            let path = entry.path();
            if path.is_dir() {
                sources(&path, texts);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                said(&std::fs::read_to_string(&path).expect("a source"), texts);
            }
        }
    }

    #[test]
    fn every_text_has_its_korean_and_nothing_else_is_kept() {
        let mut texts = BTreeSet::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut texts);
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
}
