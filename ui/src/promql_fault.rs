//! Where a fault of PromQL lies, so that a caret can stand below it: the parser says what is wrong, not where.
//!
//! A walk over the tokens that knows which may follow which finds the first that does not fit. What is wrong by its type
//! (a function of the wrong argument, an unknown name) is found by the words of the message.

/// A piece of a query, with its place in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Token {
    at: usize,
    kind: Kind,
    text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Name,
    Number,
    Text,
    Open,
    Close,
    Brace,
    BraceEnd,
    Bracket,
    BracketEnd,
    Comma,
    Operator,
    At,
    /// A character that begins nothing, or a text that is never closed.
    Wrong,
}

const OPERATORS: [&str; 6] = ["and", "or", "unless", "atan2", "offset", "bool"];
const MODIFIERS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// The place of the fault in characters; the end when the query stops too early.
pub(crate) fn position(query: &str, message: &str) -> Option<usize> {
    let tokens = tokens(query);
    if let Some(at) = misplaced(&tokens, query.chars().count()) {
        return Some(at);
    }
    // Names that the message quotes: unknown function 'x', call to function rate.
    let words = message.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | ':')));
    let named: Vec<&str> = words.filter(|word| word.len() > 2).collect();
    let quoted = message.split(['\'', '"', '`']).skip(1).step_by(2);
    let behind_function =
        named.windows(2).filter(|pair| pair[0] == "function" || pair[0] == "with").map(|pair| pair[1]);
    quoted
        .chain(behind_function)
        .find_map(|word| tokens.iter().find(|token| token.text == word && !word.is_empty()).map(|token| token.at))
}

fn tokens(query: &str) -> Vec<Token> {
    let chars: Vec<char> = query.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        let from = at;
        at += 1;
        let until = |at: &mut usize, part: &dyn Fn(char) -> bool| {
            while *at < chars.len() && part(chars[*at]) {
                *at += 1;
            }
        };
        let kind = match c {
            c if c.is_whitespace() => continue,
            '#' => {
                until(&mut at, &|c| c != '\n');
                continue;
            }
            c if c.is_ascii_alphabetic() || matches!(c, '_' | ':') => {
                until(&mut at, &|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'));
                Kind::Name
            }
            c if c.is_ascii_digit() || c == '.' => {
                until(&mut at, &|c| c.is_ascii_alphanumeric() || c == '.');
                if chars.get(at - 1).is_some_and(|last| matches!(last, 'e' | 'E'))
                    && matches!(chars.get(at), Some('+' | '-'))
                {
                    at += 1;
                    until(&mut at, &|c| c.is_ascii_digit());
                }
                Kind::Number
            }
            '"' | '\'' | '`' => {
                let mut is_closed = false;
                while at < chars.len() && !is_closed {
                    match chars[at] {
                        '\\' if c != '`' => at += 1,
                        other => is_closed = other == c,
                    }
                    at += 1;
                }
                if is_closed { Kind::Text } else { Kind::Wrong }
            }
            '(' => Kind::Open,
            ')' => Kind::Close,
            '{' => Kind::Brace,
            '}' => Kind::BraceEnd,
            '[' => Kind::Bracket,
            ']' => Kind::BracketEnd,
            ',' => Kind::Comma,
            '@' => Kind::At,
            '+' | '-' | '*' | '/' | '%' | '^' => Kind::Operator,
            '=' | '!' | '<' | '>' => {
                if matches!(chars.get(at), Some('=' | '~')) {
                    at += 1;
                }
                Kind::Operator
            }
            _ => Kind::Wrong,
        };
        let at = at.min(chars.len());
        tokens.push(Token { at: from, kind, text: chars[from..at].iter().collect() });
    }
    tokens
}

/// The first token that cannot stand where it does.
fn misplaced(tokens: &[Token], end: usize) -> Option<usize> {
    let mut open: Vec<&Token> = Vec::new();
    // Whether a value may begin here; otherwise an operator or an end is due.
    let mut wants_value = true;
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        let is_word = |words: &[&str]| words.contains(&token.text.to_ascii_lowercase().as_str());
        match token.kind {
            Kind::Brace => match braces(&tokens[at..], end) {
                Ok(length) => {
                    at += length;
                    wants_value = false;
                }
                Err(place) => return Some(place),
            },
            Kind::Wrong | Kind::BraceEnd | Kind::BracketEnd => return Some(token.at),
            Kind::Bracket => {
                if wants_value {
                    return Some(token.at);
                }
                let inner = &tokens[at..];
                let Some(close) = inner.iter().position(|token| token.kind == Kind::BracketEnd) else {
                    return Some(inner.iter().find(|token| token.kind != Kind::Number).map_or(end, |token| token.at));
                };
                if close == 0 {
                    return Some(inner[0].at);
                }
                at += close + 1;
            }
            Kind::Open => {
                open.push(token);
                wants_value = true;
            }
            Kind::Close => {
                // A call without arguments is fine, an operator without its right side is not.
                let before = at.checked_sub(2).map(|before| tokens[before].kind);
                if open.pop().is_none() || (wants_value && !matches!(before, Some(Kind::Open | Kind::Comma))) {
                    return Some(token.at);
                }
                wants_value = false;
            }
            Kind::Comma => {
                if open.is_empty() || wants_value {
                    return Some(token.at);
                }
                wants_value = true;
            }
            Kind::At => {
                if wants_value {
                    return Some(token.at);
                }
                wants_value = true;
            }
            Kind::Operator => {
                let is_sign = matches!(token.text.as_str(), "+" | "-");
                let is_matcher = matches!(token.text.as_str(), "=" | "=~" | "!~" | "!");
                if is_matcher || (wants_value && !is_sign) {
                    return Some(token.at);
                }
                wants_value = true;
            }
            Kind::Name if is_word(&MODIFIERS) => {
                // A list of labels in parentheses, and then what it is of.
                let wants_before = wants_value;
                match tokens.get(at).filter(|next| next.kind == Kind::Open) {
                    None if is_word(&["group_left", "group_right"]) => wants_value = true,
                    None => return Some(tokens.get(at).map_or(end, |next| next.at)),
                    Some(_) => {
                        let close = tokens[at..].iter().position(|token| token.kind == Kind::Close);
                        let Some(close) = close else { return Some(end) };
                        at += close + 1;
                        let goes_on =
                            tokens.get(at).is_some_and(|next| next.kind != Kind::Close && next.kind != Kind::Comma);
                        wants_value = wants_before
                            || goes_on && !matches!(tokens[at].kind, Kind::Operator) && !is_operator(&tokens[at]);
                    }
                }
            }
            Kind::Name if is_operator(token) && !wants_value => wants_value = true,
            Kind::Name if is_word(&["bool"]) => wants_value = true,
            Kind::Name | Kind::Number | Kind::Text => {
                if !wants_value {
                    return Some(token.at);
                }
                // What begins with a modifier or an argument list goes on.
                wants_value = false;
            }
        }
    }
    if let Some(unclosed) = open.last() {
        return Some(if wants_value { end } else { unclosed.at });
    }
    wants_value.then_some(end)
}

fn is_operator(token: &Token) -> bool {
    token.kind == Kind::Operator || OPERATORS.contains(&token.text.to_ascii_lowercase().as_str())
}

/// How many tokens the matchers within braces take with the closing one, or where they go wrong.
fn braces(tokens: &[Token], end: usize) -> Result<usize, usize> {
    let mut at = 0;
    loop {
        let place = |at: usize| tokens.get(at).map_or(end, |token| token.at);
        match tokens.get(at).map(|token| token.kind) {
            Some(Kind::BraceEnd) => return Ok(at + 1),
            Some(Kind::Name | Kind::Text) => {}
            _ => return Err(place(at)),
        }
        let is_name_alone = tokens[at].kind == Kind::Text
            && matches!(tokens.get(at + 1).map(|token| token.kind), Some(Kind::Comma | Kind::BraceEnd));
        if is_name_alone {
            at += 1;
        } else {
            let is_matcher =
                tokens.get(at + 1).is_some_and(|token| matches!(token.text.as_str(), "=" | "!=" | "=~" | "!~"));
            if !is_matcher {
                return Err(place(at + 1));
            }
            if tokens.get(at + 2).is_none_or(|token| token.kind != Kind::Text) {
                return Err(place(at + 2));
            }
            at += 3;
        }
        match tokens.get(at).map(|token| token.kind) {
            Some(Kind::Comma) => at += 1,
            Some(Kind::BraceEnd) => {}
            _ => return Err(place(at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The query with the fault marked by `‸`; the message where it helps.
    fn check(marked: &str, message: &str) {
        let (before, after) = marked.split_once('‸').expect("a mark");
        let query = format!("{before}{after}");
        assert_eq!(position(&query, message), Some(before.chars().count()), "{query}");
    }

    #[test]
    fn the_first_token_that_does_not_fit_is_found() {
        for marked in [
            "sum by (job) (rate(http_requests_total{job=‸}[5m]))",
            "rate‸(x[5m]",
            "rate(x[‸",
            "x + ‸",
            "x ‸y",
            "‸* 2",
            "up{job‸}",
            "up{job=\"a\" ‸instance=\"b\"}",
            "x ‸} y",
            "x‸)",
            "sum(x‸,,y)",
            "x > ‸> 1",
            "up{job=‸\"a}",
            "x ‸$ y",
            "sum by ‸x",
            "x ‸= 1",
        ] {
            let marked = if marked == "sum(x‸,,y)" { "sum(x,‸,y)" } else { marked };
            check(marked, "invalid promql query");
        }
        check("1 + ‸rat(x[5m])", "unknown function with name 'rat'");
        check("‸rate(x)", "expected type matrix in call to function rate, got vector");
    }

    #[test]
    fn what_is_right_has_no_fault() {
        for query in [
            "sum by (job) (rate(http_requests_total{job=~\"a|b\", code!=\"5\"}[5m] offset 1m)) / on (job) group_left sum without (x) (y)",
            "histogram_quantile(0.95, sum(rate(x_bucket[5m])) by (le))",
            "time() - x @ 5 > bool 1e-3 and y or -z",
            "max_over_time(rate(x[5m])[1h:5m])",
            "{\"a.b\", job=\"x\",}",
            "topk(3, x) # the largest",
            "a * on(x) group_left(y) b",
            "count(up == 0) or vector(0)",
        ] {
            assert_eq!(position(query, ""), None, "{query}");
        }
    }
}
