//! Which words of a search are marked in the rows, and splitting a text at them.

/// The words and phrases of a search that rows are expected to show, in lower case; terms of fields and negated terms
/// are left out.
pub(crate) fn terms(query: &str) -> Vec<String> {
    let mut terms = Vec::new();
    let mut rest = query.trim_start();
    let mut is_negated = false;
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            let inner = &rest[1..];
            let end = inner.find('"').unwrap_or(inner.len());
            push(&mut terms, &inner[..end], is_negated);
            rest = inner.get(end + 1..).unwrap_or("");
            is_negated = false;
        } else if matches!(first, '(' | ')') {
            rest = &rest[1..];
        } else if first == '-' {
            is_negated = true;
            rest = &rest[1..];
        } else {
            let end = token_end(rest);
            let token = &rest[..end];
            rest = &rest[end..];
            match token {
                "AND" | "OR" => {}
                "NOT" => {
                    is_negated = true;
                    rest = rest.trim_start();
                    continue;
                }
                _ => {
                    if let Some(body) = token.strip_prefix("body:") {
                        push(&mut terms, body.trim_matches(['"', '*']), is_negated);
                    } else if !token.contains([':', '>', '<', '=', '/']) {
                        push(&mut terms, token.trim_end_matches('*'), is_negated);
                    }
                    is_negated = false;
                }
            }
        }
        rest = rest.trim_start();
    }
    terms
}

/// The end of a token: white space or a parenthesis outside quotes.
fn token_end(text: &str) -> usize {
    let mut is_quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => is_quoted = !is_quoted,
            ' ' | '\t' | '\n' | ')' if !is_quoted && at > 0 => return at,
            _ => {}
        }
    }
    text.len()
}

fn push(terms: &mut Vec<String>, term: &str, is_negated: bool) {
    let term = term.trim().to_lowercase();
    if !is_negated && !term.is_empty() && terms.len() < 16 {
        terms.push(term);
    }
}

/// A text cut into pieces; `true` marks the pieces that are terms.
pub(crate) fn pieces<'a>(text: &'a str, terms: &[String]) -> Vec<(&'a str, bool)> {
    // Positions are found in the lower-case text and used in the text itself, so both must have the same shape.
    let lower = text.to_lowercase();
    let is_same_shape =
        lower.len() == text.len() && lower.char_indices().map(|(at, _)| at).eq(text.char_indices().map(|(at, _)| at));
    if terms.is_empty() || !is_same_shape {
        return vec![(text, false)];
    }
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < text.len() && pieces.len() < 200 {
        let next = terms
            .iter()
            .filter_map(|term| lower[at..].find(term.as_str()).map(|found| (at + found, term.len())))
            .min_by_key(|(start, length)| (*start, usize::MAX - length));
        let Some((start, length)) = next else { break };
        if start > at {
            pieces.push((&text[at..start], false));
        }
        pieces.push((&text[start..start + length], true));
        at = start + length;
    }
    if at < text.len() {
        pieces.push((&text[at..], false));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_phrases_are_marked_fields_and_negations_not() {
        assert_eq!(
            terms(
                r#"service:checkout level>=warn "connection refused" Time* -noise NOT quiet (a OR "b c") body:*sub*"#
            ),
            ["connection refused", "time", "a", "b c", "sub"]
        );
        assert!(terms("-\"not this\" route:\"/a b\"").is_empty());
        assert!(terms("\"unclosed").contains(&"unclosed".to_owned()));
    }

    #[test]
    fn a_text_is_cut_at_its_terms_and_nothing_is_lost() {
        let text = "Connection REFUSED by peer; refused again";
        let cut = pieces(text, &terms("refused peer"));
        assert_eq!(cut.iter().map(|(piece, _)| *piece).collect::<String>(), text);
        assert_eq!(
            cut.iter().filter(|(_, marked)| *marked).map(|(piece, _)| *piece).collect::<Vec<_>>(),
            ["REFUSED", "peer", "refused"]
        );
        assert_eq!(pieces("İstanbul", &["i".to_owned()]), [("İstanbul", false)]);
        assert!(pieces("", &["x".to_owned()]).is_empty());
    }
}
