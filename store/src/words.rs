//! How text is cut into words, the same for the index and for rows that are scanned.
//!
//! A word is a maximal run of Unicode letters and digits, folded to lower case. Runs of Chinese, Japanese and Korean
//! characters have no spaces between words, so they are cut into overlapping pairs of characters (bigrams) instead,
//! a run of one character into that character; any substring of two or more such characters is then found by its
//! pairs.

/// Words longer than this many bytes are cut; the rest of such a word is not searched by the index.
pub const MAX_WORD_BYTES: usize = 128;

/// Whether the character is written without spaces between words.
pub fn is_cjk(c: char) -> bool {
    matches!(u32::from(c),
        0x1100..=0x11FF      // Hangul Jamo
        | 0x2E80..=0x2FDF    // CJK radicals
        | 0x3005..=0x3007    // ideographic iteration mark, closing mark, number zero
        | 0x3040..=0x30FF    // Hiragana, Katakana
        | 0x3130..=0x318F    // Hangul compatibility Jamo
        | 0x31F0..=0x31FF    // Katakana extensions
        | 0x3400..=0x4DBF    // CJK extension A
        | 0x4E00..=0x9FFF    // CJK
        | 0xA960..=0xA97F    // Hangul Jamo extended A
        | 0xAC00..=0xD7FF    // Hangul syllables, Jamo extended B
        | 0xF900..=0xFAFF    // CJK compatibility
        | 0xFF66..=0xFF9D    // half-width Katakana
        | 0xFFA0..=0xFFDC    // half-width Hangul
        | 0x20000..=0x3FFFF  // CJK extensions B and later
    )
}

/// Calls `each` with every word of the text, in order, pairs of CJK characters included.
///
/// `scratch` is room for folding; it saves an allocation per word.
pub fn for_each_word(text: &str, scratch: &mut String, mut each: impl FnMut(&str)) {
    let bytes = text.as_bytes();
    let mut index = 0;
    while index < bytes.len() {
        let byte = bytes[index];
        if byte.is_ascii_alphanumeric() {
            let start = index;
            let mut upper = false;
            while index < bytes.len() && bytes[index].is_ascii_alphanumeric() {
                upper |= bytes[index].is_ascii_uppercase();
                index += 1;
            }
            if index == bytes.len() || bytes[index].is_ascii() {
                let word = &text[start..index];
                if upper {
                    scratch.clear();
                    scratch.push_str(word);
                    scratch.make_ascii_lowercase();
                    each(cut(scratch));
                } else {
                    each(cut(word));
                }
            } else {
                // The run may go on with letters outside ASCII.
                index = unicode_run(text, start, scratch, &mut each);
            }
        } else if byte.is_ascii() {
            index += 1;
        } else {
            index = unicode_run(text, index, scratch, &mut each);
        }
    }
}

/// Handles one run that starts at `start` and holds characters outside ASCII; gives the index after it.
fn unicode_run(text: &str, start: usize, scratch: &mut String, each: &mut impl FnMut(&str)) -> usize {
    let mut characters = text[start..].char_indices().peekable();
    let Some(&(_, first)) = characters.peek() else { return text.len() };
    if !first.is_alphanumeric() {
        return start + first.len_utf8();
    }
    if is_cjk(first) {
        let mut previous: Option<(usize, char)> = None;
        let mut pairs = 0;
        let mut end = start;
        for (offset, character) in characters {
            if !is_cjk(character) || !character.is_alphanumeric() {
                break;
            }
            end = start + offset + character.len_utf8();
            if let Some((before, _)) = previous {
                each(&text[start + before..end]);
                pairs += 1;
            }
            previous = Some((offset, character));
        }
        if pairs == 0 {
            each(&text[start..end]);
        }
        return end;
    }
    scratch.clear();
    let mut end = start;
    for (offset, character) in characters {
        if !character.is_alphanumeric() || is_cjk(character) {
            break;
        }
        scratch.extend(character.to_lowercase());
        end = start + offset + character.len_utf8();
    }
    each(cut(scratch));
    end
}

/// Whether a word looks like an id or a long number (five characters with a digit, or four digits): the index does not list such words, since hardly any two rows share
/// one.
pub fn is_id_like(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    digits > 0 && (word.len() >= 5 || digits == 4)
}

/// Whether a word that looks like an id is so long that few rows have it: numbers of four digits are in nearly every block
/// of rows, and a second filter would not help to find them.
pub fn is_long(word: &str) -> bool {
    word.len() >= 5
}

/// The part of a word before its first ASCII digit.
pub fn before_digits(word: &str) -> &str {
    &word[..word.bytes().position(|byte| byte.is_ascii_digit()).unwrap_or(word.len())]
}

/// The words of a text as owned strings: for queries, not for the way in.
pub fn words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for_each_word(text, &mut String::new(), |word| found.push(word.to_owned()));
    found
}

/// The part of a term within [`MAX_WORD_BYTES`], ending at a character's boundary.
pub fn cut(word: &str) -> &str {
    if word.len() <= MAX_WORD_BYTES {
        return word;
    }
    let mut end = MAX_WORD_BYTES;
    while !word.is_char_boundary(end) {
        end -= 1;
    }
    &word[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_of_letters_and_digits_without_case() {
        assert_eq!(
            words("GET /api/v1?q=Äpfel_x 10.0.0.1"),
            ["get", "api", "v1", "q", "äpfel", "x", "10", "0", "0", "1"]
        );
        assert_eq!(words("straße-ÀB"), ["straße", "àb"]);
    }

    #[test]
    fn korean_chinese_and_japanese_are_pairs() {
        assert_eq!(words("결제실패 발생"), ["결제", "제실", "실패", "발생"]);
        assert_eq!(words("오류: 값 abc값def"), ["오류", "값", "abc", "값", "def"]);
    }

    #[test]
    fn long_words_are_cut_at_a_character() {
        let long = "é".repeat(MAX_WORD_BYTES);
        assert_eq!(words(&long)[0].len(), MAX_WORD_BYTES);
    }
}
