//! Lucene's query strings, as people type them into Grafana and Kibana, as a search.

use crate::QueryError;

/// A piece of a query string.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    And,
    Or,
    Not,
    Plus,
    Term(String),
}

/// How deep parentheses may nest.
const MAX_DEPTH: usize = 32;

fn wrong(message: &str) -> QueryError {
    QueryError::invalid("query", format!("Failed to parse query: {message}"))
}

/// The same query in the search language.
pub(super) fn search(text: &str, is_and: bool) -> Result<String, QueryError> {
    let tokens = tokens(text)?;
    let mut at = 0;
    let found = level(&tokens, &mut at, is_and, 0)?;
    if at < tokens.len() {
        return Err(wrong("a parenthesis is closed that was not opened"));
    }
    Ok(found)
}

fn tokens(text: &str) -> Result<Vec<Token>, QueryError> {
    let mut all = Vec::new();
    let mut rest = text.trim_start();
    while let Some(c) = rest.chars().next() {
        let single = match c {
            '(' => Some(Token::Open),
            ')' => Some(Token::Close),
            '+' => Some(Token::Plus),
            '-' | '!' => Some(Token::Not),
            _ => None,
        };
        if let Some(token) = single {
            all.push(token);
            rest = rest[1..].trim_start();
            continue;
        }
        if let Some(behind) = rest.strip_prefix("&&") {
            all.push(Token::And);
            rest = behind.trim_start();
            continue;
        }
        if let Some(behind) = rest.strip_prefix("||") {
            all.push(Token::Or);
            rest = behind.trim_start();
            continue;
        }
        let end = term_end(rest).ok_or_else(|| wrong("a quote or a bracket is not closed"))?;
        all.push(match &rest[..end] {
            "AND" => Token::And,
            "OR" => Token::Or,
            "NOT" => Token::Not,
            term => Token::Term(translated(term)?),
        });
        rest = rest[end..].trim_start();
    }
    Ok(all)
}

/// Where a term ends: spaces in quotes, brackets, parentheses behind a colon and expressions do not count.
fn term_end(text: &str) -> Option<usize> {
    let mut closing: Option<char> = None;
    let mut is_escaped = false;
    let mut before = ' ';
    for (place, c) in text.char_indices() {
        match closing {
            _ if is_escaped => is_escaped = false,
            _ if c == '\\' => is_escaped = true,
            Some(']') if matches!(c, ']' | '}') => closing = None,
            Some(close) if c == close => closing = None,
            None if c == '"' => closing = Some('"'),
            None if c == '/' && (place == 0 || before == ':') => closing = Some('/'),
            None if matches!(c, '[' | '{') && before == ':' => closing = Some(']'),
            None if c == '(' && before == ':' => closing = Some(')'),
            None if c.is_whitespace() || matches!(c, '(' | ')') => return Some(place),
            _ => {}
        }
        before = c;
    }
    closing.is_none().then_some(text.len())
}

/// The colon between a field and its value; one in quotes or behind a backslash is neither.
fn colon(term: &str) -> Option<usize> {
    let mut is_escaped = false;
    for (place, c) in term.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' | '/' => return None,
            ':' => return Some(place),
            _ => {}
        }
    }
    None
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut is_escaped = false;
    for c in text.chars() {
        if c == '\\' && !is_escaped {
            is_escaped = true;
        } else {
            out.push(c);
            is_escaped = false;
        }
    }
    out
}

/// A value's characters, each with whether it stands for any text: an escaped wildcard is itself.
fn characters(text: &str) -> Vec<(char, bool)> {
    let mut all = Vec::new();
    let mut is_escaped = false;
    for c in text.chars() {
        if c == '\\' && !is_escaped {
            is_escaped = true;
        } else {
            all.push((c, !is_escaped && matches!(c, '*' | '?')));
            is_escaped = false;
        }
    }
    all
}

/// Quotes what the search language would read otherwise; wildcards stay. `is_of_field` says that the whole value must fit.
fn value(text: &str, is_of_field: bool) -> String {
    let is_special = text.starts_with(['"', '/', '[', '{', '(', '>', '<']);
    let is_plain = text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '*' | '/' | '@'));
    if is_special || is_plain {
        return text.to_owned();
    }
    let all = characters(text);
    if !all.iter().any(|(_, is_wildcard)| *is_wildcard) {
        return format!("\"{}\"", unescaped(text).replace('\\', "\\\\").replace('"', "\\\""));
    }
    // The search language knows `*` alone, and no other way to write a star.
    let needs_expression = all.iter().any(|(c, is_wildcard)| matches!((c, is_wildcard), ('?', true) | ('*', false)));
    if !needs_expression {
        let escape = |(c, is_wildcard): &(char, bool)| {
            if *is_wildcard || c.is_alphanumeric() { c.to_string() } else { format!("\\{c}") }
        };
        return all.iter().map(escape).collect();
    }
    let expression: String = all
        .iter()
        .map(|(c, is_wildcard)| match (c, is_wildcard) {
            ('*', true) if is_of_field => ".*".to_owned(),
            ('*', true) => "\\w*".to_owned(),
            ('?', true) => ".".to_owned(),
            ('/', _) => "\\/".to_owned(),
            (c, _) => regex::escape(&c.to_string()),
        })
        .collect();
    if is_of_field { format!("/^{expression}$/") } else { format!("/(?i)\\b{expression}\\b/") }
}

fn translated(term: &str) -> Result<String, QueryError> {
    // How close words must be, and how much a match weighs, changes no set of documents but for what is fuzzy.
    let term = match term.rsplit_once('^') {
        Some((head, boost)) if !head.is_empty() && boost.parse::<f64>().is_ok() => head,
        _ => term,
    };
    if !term.starts_with('"') && term.ends_with('~') || (term.starts_with('"') && term.contains("\"~")) {
        return Err(wrong("fuzzy and proximity searches are not supported"));
    }
    let Some(place) = colon(term) else {
        return Ok(if term == "*" { "*".to_owned() } else { value(term, false) });
    };
    let (field, wanted) = (unescaped(&term[..place]), &term[place + 1..]);
    if wanted.is_empty() {
        return Err(wrong(&format!("the field {field} has no value")));
    }
    let field = field.strip_suffix(".keyword").unwrap_or(&field);
    Ok(match field {
        "_exists_" => format!("{}:*", super::clauses::name(&unescaped(wanted))),
        "*" if wanted == "*" => "*".to_owned(),
        super::TIME => return Err(wrong("a range of @timestamp belongs into a range query")),
        // Words of the text are looked for as words.
        "message" if !wanted.starts_with(['[', '{', '>', '<']) && wanted != "*" => value(wanted, false),
        "log.level" => format!("severity:{}", value(wanted, true)),
        "_index" => format!("\"resource.{}\":{}", mangru_store::ELASTIC_INDEX, value(wanted, true)),
        "_id" => format!("\"attributes.{}\":{}", mangru_store::ELASTIC_ID, value(wanted, true)),
        _ => format!("{}:{}", super::clauses::name(field), value(wanted, true)),
    })
}

/// Terms up to the end of a parenthesis: what must be, what must not be, and of the others any.
fn level(tokens: &[Token], at: &mut usize, is_and: bool, depth: usize) -> Result<String, QueryError> {
    if depth > MAX_DEPTH {
        return Err(wrong(&format!("parentheses nest deeper than {MAX_DEPTH}")));
    }
    // Groups joined by OR, each of clauses that must all be.
    let mut groups: Vec<Vec<String>> = Vec::new();
    let (mut must, mut must_not) = (Vec::new(), Vec::new());
    let (mut joins, mut is_not, mut is_must) = (Token::Or, false, false);
    let mut has_operators = false;
    while let Some(token) = tokens.get(*at) {
        let clause = match token {
            Token::Close => break,
            Token::And | Token::Or => {
                has_operators = true;
                joins = token.clone();
                *at += 1;
                continue;
            }
            Token::Not => {
                is_not = !is_not;
                *at += 1;
                continue;
            }
            Token::Plus => {
                is_must = true;
                *at += 1;
                continue;
            }
            Token::Open => {
                *at += 1;
                let inner = level(tokens, at, is_and, depth + 1)?;
                if tokens.get(*at) != Some(&Token::Close) {
                    return Err(wrong("a parenthesis is not closed"));
                }
                format!("({inner})")
            }
            Token::Term(term) => term.clone(),
        };
        *at += 1;
        if is_not && joins == Token::Or {
            must_not.push(format!("NOT {clause}"));
        } else if is_must {
            must.push(clause);
        } else {
            let clause = if is_not { format!("NOT {clause}") } else { clause };
            match groups.last_mut() {
                Some(last) if joins == Token::And => last.push(clause),
                _ => groups.push(vec![clause]),
            }
        }
        joins = if is_and { Token::And } else { Token::Or };
        (is_not, is_must) = (false, false);
    }
    if is_not || is_must || (has_operators && groups.is_empty() && must.is_empty() && must_not.is_empty()) {
        return Err(wrong("an operator has nothing behind it"));
    }
    let any: Vec<String> = groups.into_iter().map(|group| group.join(" AND ")).collect();
    let mut all = must;
    // With something that must be, what may be changes only the order.
    if all.is_empty() && !any.is_empty() {
        all.push(if any.len() == 1 { any[0].clone() } else { format!("({})", any.join(" OR ")) });
    }
    all.extend(must_not);
    Ok(if all.is_empty() { "*".to_owned() } else { all.join(" AND ") })
}

#[cfg(test)]
mod tests {
    use super::search;

    #[test]
    fn query_strings_become_searches() {
        for (text, expected) in [
            ("", "*"),
            ("*", "*"),
            ("a", "a"),
            ("a b", "(a OR b)"),
            ("a AND b OR c", "(a AND b OR c)"),
            ("a -b", "a AND NOT b"),
            ("+a b", "a"),
            ("a AND NOT (b OR c)", "a AND NOT ((b OR c))"),
            ("level:error AND \"two words\"", "level:error AND \"two words\""),
            ("log.level:error", "severity:error"),
            ("message:refused", "refused"),
            ("service.name.keyword:web", "service.name:web"),
            ("_exists_:user", "user:*"),
            ("http.status:[400 TO 499]", "http.status:[400 TO 499]"),
            ("status:>=500 || status:(1 OR 2)", "(status:>=500 OR status:(1 OR 2))"),
            ("path:\\/a\\:b", "path:\"/a:b\""),
            ("host:web*^2", "host:web*"),
            ("path:\\/api\\/v1\\/*", "path:\\/api\\/v1\\/*"),
            ("host:web\\:80*", "host:web\\:80*"),
            ("host:web?", "host:/^web.$/"),
            ("host:a\\*b*", "host:/^a\\*b.*$/"),
            ("host:a\\*b", "host:\"a*b\""),
            ("t?me", "/(?i)\\bt.me\\b/"),
        ] {
            assert_eq!(search(text, false).unwrap_or_else(|error| panic!("{text}: {error}")), expected, "{text}");
        }
        assert_eq!(search("a b", true).expect("fine"), "a AND b");
        for wrong in ["(a", "a)", "\"a", "a AND (", "x:", "a~", "x:[1 TO 2"] {
            search(wrong, false).expect_err(wrong);
        }
    }
}
