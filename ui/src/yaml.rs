//! Writing YAML that people read: plain where it can be, quoted where it must be, blocks for text of several lines.

use std::fmt::Write as _;

/// A document in the making.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writer {
    out: String,
    depth: usize,
    /// Whether the next key stands behind the dash of a list.
    is_item: bool,
}

impl Writer {
    /// What was written.
    pub(crate) fn finish(self) -> String {
        self.out
    }

    /// A key with a text.
    pub(crate) fn text(&mut self, key: &str, value: &str) {
        self.lead();
        let is_block = value.contains('\n') && is_block_safe(value);
        if !is_block {
            // Writing to a String cannot fail.
            let _ = writeln!(self.out, "{key}: {}", scalar(value));
            return;
        }
        let _ = writeln!(self.out, "{key}: |{}", if value.ends_with('\n') { "" } else { "-" });
        for line in value.lines() {
            if line.is_empty() {
                self.out.push('\n');
            } else {
                let _ = writeln!(self.out, "{}{line}", "  ".repeat(self.depth + 1));
            }
        }
    }

    /// A key with a number or a truth value, written as it is.
    pub(crate) fn plain(&mut self, key: &str, value: impl std::fmt::Display) {
        self.lead();
        let _ = writeln!(self.out, "{key}: {value}");
    }

    /// A key with a list of texts in one line.
    pub(crate) fn texts(&mut self, key: &str, values: &[String]) {
        self.lead();
        let values: Vec<String> = values.iter().map(|value| scalar(value)).collect();
        let _ = writeln!(self.out, "{key}: [{}]", values.join(", "));
    }

    /// A key with a list; `each` writes the keys of an item.
    pub(crate) fn list<T>(&mut self, key: &str, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.lead();
        let _ = writeln!(self.out, "{key}:");
        self.depth += 2;
        for item in items {
            self.is_item = true;
            each(self, item);
            self.is_item = false;
        }
        self.depth -= 2;
    }

    fn lead(&mut self) {
        let depth = self.depth;
        if self.is_item {
            self.is_item = false;
            self.out.push_str(&"  ".repeat(depth - 1));
            self.out.push_str("- ");
        } else {
            self.out.push_str(&"  ".repeat(depth));
        }
    }
}

/// Whether a text keeps its shape as a block: no line begins with a space, none holds what is not to be seen.
fn is_block_safe(text: &str) -> bool {
    !text.starts_with('\n')
        && !text.ends_with("\n\n")
        && !text.starts_with(' ')
        && !text
            .chars()
            .any(|c| c != '\n' && (c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')))
}

/// A text on one line.
fn scalar(text: &str) -> String {
    let is_plain = !text.is_empty()
        && text.starts_with(|c: char| c.is_alphabetic())
        && !text.ends_with(' ')
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, ' ' | '.' | '_' | '-' | '/' | '(' | ')'))
        && !matches!(
            text.to_ascii_lowercase().as_str(),
            "true" | "false" | "null" | "yes" | "no" | "on" | "off" | "y" | "n" | "nan" | "inf"
        );
    if is_plain {
        return text.to_owned();
    }
    if !text.contains('\'')
        && !text.chars().any(|c| c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}'))
    {
        return format!("'{text}'");
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_back_as_they_were() {
        let texts = [
            "plain words",
            "true",
            "",
            " leading",
            "trailing ",
            "a: b",
            "# no comment",
            "- item",
            "it's",
            "\"quoted\" \\",
            "two\nlines",
            "two\nlines\n",
            "block\n  deeper\nback",
            " first\nsecond",
            "tab\there\nx",
            "null",
            "1.5",
            "결제 실패",
            "'",
            "{a}",
            "[x]",
            "*x",
            "&x",
            "!x",
            "%x",
            "@x",
            "`x`",
            "a\u{0}b",
            "\n",
            "x\n\n",
            "\u{feff}",
        ];
        for text in texts {
            let mut out = Writer::default();
            out.list("items", &[text], |out, text| {
                out.text("text", text);
                out.texts("more", &[(*text).to_owned(), "x".to_owned()]);
            });
            let written = out.finish();
            let read: serde_json::Value =
                serde_saphyr::from_str(&written).unwrap_or_else(|error| panic!("{written}: {error}"));
            assert_eq!(read["items"][0]["text"], serde_json::json!(text), "{written}");
            assert_eq!(read["items"][0]["more"][0], serde_json::json!(text), "{written}");
        }
    }
}
