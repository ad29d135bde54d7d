//! Licence expressions: `MIT OR (Apache-2.0 WITH LLVM-exception AND Zlib)`.

/// Whether the expression can be fulfilled with these licences alone. What cannot be read is not fulfilled.
///
/// `AND` binds closer than `OR`; the old `/` between names is an `OR`; an exception only permits more, so `WITH` asks for
/// the licence before it.
pub(super) fn is_fulfilled(expression: &str, licences: &[&str]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = Words { words: spaced.split_whitespace().collect(), next: 0, licences };
    words.any() == Some(true) && words.next == words.words.len()
}

struct Words<'a> {
    words: Vec<&'a str>,
    next: usize,
    licences: &'a [&'a str],
}

impl<'a> Words<'a> {
    fn take(&mut self) -> Option<&'a str> {
        let word = *self.words.get(self.next)?;
        self.next += 1;
        Some(word)
    }

    fn takes(&mut self, wanted: &str) -> bool {
        let is_next = self.words.get(self.next) == Some(&wanted);
        self.next += usize::from(is_next);
        is_next
    }

    /// One of several.
    fn any(&mut self) -> Option<bool> {
        let mut fulfilled = self.all()?;
        while self.takes("OR") {
            fulfilled |= self.all()?;
        }
        Some(fulfilled)
    }

    /// All of several.
    fn all(&mut self) -> Option<bool> {
        let mut fulfilled = self.one()?;
        while self.takes("AND") {
            fulfilled &= self.one()?;
        }
        Some(fulfilled)
    }

    fn one(&mut self) -> Option<bool> {
        match self.take()? {
            "(" => {
                let fulfilled = self.any()?;
                self.takes(")").then_some(fulfilled)
            }
            ")" | "AND" | "OR" | "WITH" => None,
            name => {
                if self.takes("WITH") {
                    self.take()?;
                }
                Some(self.licences.contains(&name))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_fulfilled;

    #[test]
    fn expressions_mean_what_spdx_says() {
        let cases = [
            ("MIT", true),
            ("GPL-3.0-only", false),
            ("GPL-3.0-only OR MIT", true),
            ("MIT AND GPL-3.0-only", false),
            ("MIT/Apache-2.0", true),
            ("Apache-2.0 WITH LLVM-exception OR GPL-3.0-only", true),
            // The parentheses decide: without one of the two, this would pass for its first alternative.
            ("(MIT OR Apache-2.0) AND GPL-3.0-only", false),
            ("MIT OR Apache-2.0 AND GPL-3.0-only", true),
            ("(MIT", false),
            ("MIT)", false),
            ("MIT Apache-2.0", false),
            ("", false),
        ];
        for (expression, expected) in cases {
            assert_eq!(is_fulfilled(expression, &["MIT", "Apache-2.0"]), expected, "{expression}");
        }
    }
}
