//! Templates of messages, by Drain (P. He et al., "Drain: An Online Log Parsing Approach with Fixed Depth Tree", ICWS 2017).
//!
//! A message is first masked: what holds a digit, and long hex words, become `<*>`. Messages of the same number of words and
//! the same first word are compared with the templates that are known; one whose words agree in half of the places takes it
//! in, and where they differ the template gets `<*>`. A message that was masked to the same text as an earlier one finds its
//! template by a hash.

use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64;

/// What stands in a template for what differs.
pub(super) const WILDCARD: &str = "<*>";
/// Bytes of a message that are looked at.
const MAX_BYTES: usize = 2048;
/// Words of a message that are looked at.
const MAX_WORDS: usize = 128;
/// Masked texts that are remembered.
const MAX_SHAPES: usize = 50_000;
/// Words of hex digits alone are ids from this length on.
const HEX_LENGTH: usize = 8;

/// Templates, each with what is gathered for it.
#[derive(Clone, Debug)]
pub(super) struct Templates<T> {
    max: usize,
    known: Vec<(Vec<Box<str>>, T)>,
    /// By number of words and first word.
    leaves: HashMap<(usize, Box<str>), Vec<usize>>,
    /// By the hash of a masked text.
    shapes: HashMap<u64, usize>,
    bytes: usize,
}

impl<T: Default> Templates<T> {
    /// No templates yet, and at most so many.
    pub(super) fn new(max: usize) -> Self {
        Self { max, known: Vec::new(), leaves: HashMap::new(), shapes: HashMap::new(), bytes: 0 }
    }

    /// How many templates there are.
    pub(super) const fn len(&self) -> usize {
        self.known.len()
    }

    /// About how much memory the templates take, without what is gathered for them.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// What is gathered for the template of a message; `None` when it fits none and there are too many.
    pub(super) fn of(&mut self, message: &str, scratch: &mut String) -> Option<&mut T> {
        mask(message, scratch);
        let shape = xxh3_64(scratch.as_bytes());
        if let Some(place) = self.shapes.get(&shape) {
            return Some(&mut self.known[*place].1);
        }
        let words: Vec<&str> = scratch.split(' ').take(MAX_WORDS).collect();
        let place = self.place(&words)?;
        if self.shapes.len() < MAX_SHAPES {
            self.bytes += 32;
            self.shapes.insert(shape, place);
        }
        Some(&mut self.known[place].1)
    }

    /// What is gathered for a template that another set found.
    fn of_words(&mut self, words: &[&str]) -> Option<&mut T> {
        let place = self.place(words)?;
        Some(&mut self.known[place].1)
    }

    /// The template that fits best, changed so that it holds the words; a new one when none fits.
    fn place(&mut self, words: &[&str]) -> Option<usize> {
        let leaf = (words.len(), Box::<str>::from(*words.first()?));
        let alike = self.leaves.get(&leaf).into_iter().flatten();
        let best = alike
            .filter_map(|place| Some((likeness(&self.known[*place].0, words)?, *place)))
            .max_by_key(|(likeness, place)| (*likeness, usize::MAX - place));
        if let Some((_, place)) = best {
            for (known, word) in self.known[place].0.iter_mut().zip(words) {
                if **known != **word {
                    *known = WILDCARD.into();
                }
            }
            return Some(place);
        }
        if self.known.len() >= self.max {
            return None;
        }
        let place = self.known.len();
        self.bytes += words.iter().map(|word| word.len() + 16).sum::<usize>() + 128;
        self.known.push((words.iter().map(|word| Box::from(*word)).collect(), T::default()));
        self.leaves.entry(leaf).or_default().push(place);
        Some(place)
    }

    /// Takes all of another set in; gives what is gathered for templates for which there was no room.
    pub(super) fn merge(&mut self, other: Self, mut add: impl FnMut(&mut T, T)) -> Vec<T> {
        let mut left_out = Vec::new();
        for (words, gathered) in other.known {
            let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
            match self.of_words(&words) {
                Some(into) => add(into, gathered),
                None => left_out.push(gathered),
            }
        }
        left_out
    }

    /// Each template as text with what is gathered for it.
    pub(super) fn into_all(self) -> impl Iterator<Item = (String, T)> {
        self.known.into_iter().map(|(words, gathered)| {
            let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
            (words.join(" "), gathered)
        })
    }
}

/// In how many places the words agree with a template, then how many of these are exact; `None` when it is fewer than half.
fn likeness(template: &[Box<str>], words: &[&str]) -> Option<(usize, usize)> {
    let same = template.iter().zip(words).filter(|(known, word)| ***known == ***word).count();
    let wild = template.iter().filter(|known| ***known == *WILDCARD).count();
    (2 * same >= template.len()).then_some((same, wild))
}

/// Writes a message with `<*>` for what holds a digit or is an id, and one space between words.
fn mask(message: &str, out: &mut String) {
    out.clear();
    let cut = message.floor_char_boundary(message.len().min(MAX_BYTES));
    for word in message[..cut].split_whitespace().take(MAX_WORDS) {
        if !out.is_empty() {
            out.push(' ');
        }
        let start = out.len();
        let mut rest = word;
        while !rest.is_empty() {
            let run = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
            let (letters, behind) = rest.split_at(run);
            if letters.is_empty() {
                let other = behind.chars().next().map_or(0, char::len_utf8);
                out.push_str(&behind[..other]);
                rest = &behind[other..];
                continue;
            }
            if is_variable(letters) {
                wildcard(out, start);
            } else {
                out.push_str(letters);
            }
            rest = behind;
        }
    }
}

fn is_variable(letters: &str) -> bool {
    letters.bytes().any(|byte| byte.is_ascii_digit())
        || (letters.len() >= HEX_LENGTH && letters.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Writes `<*>`; one that follows another in the same word with a separator between makes one of both, as in addresses,
/// times and UUIDs.
fn wildcard(out: &mut String, word: usize) {
    let before = &out[word..];
    let without = before.strip_suffix(['.', ':', '-', '_', ',', '+']).unwrap_or(before);
    if without.len() < before.len() && without.ends_with(WILDCARD) {
        let length = word + without.len();
        out.truncate(length);
        return;
    }
    out.push_str(WILDCARD);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(message: &str) -> String {
        let mut out = String::new();
        mask(message, &mut out);
        out
    }

    fn templates(messages: &[&str]) -> Vec<(String, u64)> {
        let mut templates = Templates::<u64>::new(100);
        let mut scratch = String::new();
        for message in messages {
            *templates.of(message, &mut scratch).expect("room") += 1;
        }
        templates.into_all().collect()
    }

    #[test]
    fn numbers_times_addresses_and_ids_are_masked() {
        let cases = [
            ("took 15ms", "took <*>"),
            ("user=42 from 10.0.0.1:8080", "user=<*> from <*>"),
            ("2024-01-02T03:04:05.123Z  start\n", "<*> start"),
            ("id 5c8d6a9e-abcd-4f0e-9d1c-2b7c5a1e8f00", "id <*>-abcd-<*>"),
            ("blk_-1608999687919862906", "blk_-<*>"),
            ("deadbeef is hex, defaced is a word", "<*> is hex, defaced is a word"),
            ("GET /api/users/17/cart", "GET /api/users/<*>/cart"),
            ("결제 실패 #7", "결제 실패 #<*>"),
            ("", ""),
        ];
        for (message, expected) in cases {
            assert_eq!(masked(message), expected);
        }
    }

    #[test]
    fn messages_that_differ_in_few_words_share_a_template() {
        let found = templates(&[
            "payment for alice failed: card declined",
            "payment for bob failed: card declined",
            "payment for carol failed: no funds",
            "cache miss",
            "payment for dave failed: card declined",
        ]);
        assert_eq!(found, [("payment for <*> failed: <*> <*>".to_owned(), 4), ("cache miss".to_owned(), 1)]);
    }

    #[test]
    fn sets_are_merged_and_a_full_one_says_what_it_left_out() {
        let mut first = Templates::<u64>::new(1);
        let mut second = Templates::<u64>::new(10);
        let mut scratch = String::new();
        *first.of("connected to alpha", &mut scratch).expect("room") += 1;
        *second.of("connected to beta", &mut scratch).expect("room") += 2;
        *second.of("quite another thing", &mut scratch).expect("room") += 5;
        assert!(first.of("no such template", &mut scratch).is_none());
        let left_out = first.merge(second, |into, gathered| *into += gathered);
        assert_eq!(left_out, [5]);
        assert_eq!(first.into_all().collect::<Vec<_>>(), [("connected to <*>".to_owned(), 3)]);
    }
}
