//! How long the functions of a source file are.
//!
//! The tree is formatted by rustfmt, so a function ends at the first line that closes a brace at the indentation of its
//! `fn`; that is simpler than a parser, and exact for what rustfmt writes.

/// Functions with more lines than this: name and lines, signature and closing brace included.
pub(super) fn longer_than(text: &str, max_lines: usize) -> Vec<(String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut long = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = name(line) else { continue };
        let indentation = &line[..line.len() - line.trim_start().len()];
        let end = lines[start..].iter().position(|line| {
            let rest = line.strip_prefix(indentation).unwrap_or_default();
            // A declaration without a body, a function on one line, or the end of a body.
            rest == "}" || (!rest.starts_with([' ', '}', ')']) && (rest.ends_with(';') || rest.ends_with('}')))
        });
        let length = end.map_or(lines.len() - start, |end| end + 1);
        if length > max_lines {
            long.push((name.to_owned(), length));
        }
    }
    long
}

/// The name of the function that begins on this line.
fn name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    for word in ["pub(crate) ", "pub(super) ", "pub ", "const ", "async ", "unsafe "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    let rest = rest.strip_prefix("fn ")?;
    rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::longer_than;

    #[test]
    fn lines_are_counted_from_the_signature_to_the_brace() {
        let text = "trait A {\n    fn declared(&self);\n}\nfn short() {}\npub(crate) async fn long(\n    a: u8,\n) -> u8 {\n    \
                    if a > 1 {\n        a\n    }\n    a\n}\nimpl B {\n    fn inner() {\n        one();\n        two();\n    }\n}\n";
        let names = |max| longer_than(text, max);
        assert_eq!(names(1), [("long".to_owned(), 8), ("inner".to_owned(), 4)]);
        assert_eq!(names(4), [("long".to_owned(), 8)]);
        assert!(names(8).is_empty());
    }
}
