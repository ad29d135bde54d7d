//! From the text of a template to pieces: text outside of braces, and the words inside them.

/// A word inside `{{ }}`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// A function, a keyword or a constant.
    Word(String),
    /// `.` alone, or `.Field` with its name.
    Field(String),
    /// `$` alone, or `$name`.
    Variable(String),
    Text(String),
    Integer(i64),
    Float(f64),
    Pipe,
    Open,
    Close,
    Declare,
    Assign,
    Comma,
    /// Blank space; it parts operands from field accesses.
    Space,
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Text(String),
    Action(Vec<Token>),
}

/// Cuts a template into pieces.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut all = Vec::new();
    let mut rest = text;
    let mut trims = false;
    loop {
        let (mut before, after) = match rest.split_once("{{") {
            Some((before, after)) => (before, Some(after)),
            None => (rest, None),
        };
        if trims {
            before = before.trim_start();
        }
        let Some(mut inside) = after else {
            if !before.is_empty() {
                all.push(Piece::Text(before.to_owned()));
            }
            return Ok(all);
        };
        if inside.starts_with("- ") || inside.starts_with("-\n") || inside.starts_with("-\t") {
            before = before.trim_end();
            inside = &inside[1..];
        }
        if !before.is_empty() {
            all.push(Piece::Text(before.to_owned()));
        }
        let comment = inside.trim_start();
        let (tokens, behind) = if let Some(comment) = comment.strip_prefix("/*") {
            let end = comment.find("*/").ok_or("a comment is not closed")?;
            (Vec::new(), &comment[end + 2..])
        } else {
            tokens(inside)?
        };
        let behind = behind.trim_start();
        (trims, rest) = match behind.strip_prefix("-}}") {
            Some(rest) => (true, rest),
            None => (false, behind.strip_prefix("}}").ok_or("`}}` is missing")?),
        };
        if !tokens.is_empty() {
            all.push(Piece::Action(tokens));
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn word(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c| !is_word(c)).unwrap_or(text.len()))
}

/// The words up to the end of an action, and what stands behind them.
fn tokens(text: &str) -> Result<(Vec<Token>, &str), String> {
    let mut all = Vec::new();
    let mut rest = text;
    loop {
        let trimmed = rest.trim_start();
        if trimmed.len() < rest.len() && !all.is_empty() {
            all.push(Token::Space);
        }
        rest = trimmed;
        if rest.starts_with("}}") || rest.starts_with("-}}") {
            while all.last() == Some(&Token::Space) {
                all.pop();
            }
            return Ok((all, rest));
        }
        let Some(first) = rest.chars().next() else { return Err("`}}` is missing".to_owned()) };
        let behind = &rest[first.len_utf8()..];
        ((), rest) = match first {
            '|' => (all.push(Token::Pipe), behind),
            '(' => (all.push(Token::Open), behind),
            ')' => (all.push(Token::Close), behind),
            ',' => (all.push(Token::Comma), behind),
            ':' if behind.starts_with('=') => (all.push(Token::Declare), &behind[1..]),
            '=' => (all.push(Token::Assign), behind),
            '"' => {
                let (text, behind) = quoted(behind)?;
                (all.push(Token::Text(text)), behind)
            }
            '`' => {
                let (text, behind) = behind.split_once('`').ok_or("a text in backticks is not closed")?;
                (all.push(Token::Text(text.to_owned())), behind)
            }
            '\'' => {
                let (number, behind) = letter(behind)?;
                (all.push(number), behind)
            }
            '.' if behind.starts_with(|c: char| c.is_ascii_digit()) => {
                let (number, behind) = number(rest)?;
                (all.push(number), behind)
            }
            '.' => {
                let (name, behind) = word(behind);
                (all.push(Token::Field(name.to_owned())), behind)
            }
            '$' => {
                let (name, behind) = word(behind);
                (all.push(Token::Variable(name.to_owned())), behind)
            }
            c if c.is_ascii_digit() || ((c == '-' || c == '+') && behind.starts_with(|c: char| c.is_ascii_digit())) => {
                let (number, behind) = number(rest)?;
                (all.push(number), behind)
            }
            c if is_word(c) => {
                let (name, behind) = word(rest);
                (all.push(Token::Word(name.to_owned())), behind)
            }
            other => return Err(format!("`{other}` has no meaning in an action")),
        };
    }
}

/// A letter in single quotes, whose opening quote was taken: its number.
fn letter(text: &str) -> Result<(Token, &str), String> {
    let mut escaped = false;
    let end = text.char_indices().find(|(_, c)| {
        let is_end = *c == '\'' && !escaped;
        escaped = *c == '\\' && !escaped;
        is_end
    });
    let (at, _) = end.ok_or("a letter in quotes is not closed")?;
    let inside = format!("{}\"", text[..at].replace('"', "\\\""));
    let (read, _) = quoted(&inside)?;
    let mut letters = read.chars();
    match (letters.next(), letters.next()) {
        (Some(letter), None) => Ok((Token::Integer(i64::from(u32::from(letter))), &text[at + 1..])),
        _ => Err(format!("`'{}'` is not one letter", &text[..at])),
    }
}

fn number(text: &str) -> Result<(Token, &str), String> {
    let is_hex = text.trim_start_matches(['-', '+']).starts_with("0x");
    let mut before = ' ';
    let end = text.char_indices().find(|(at, c)| {
        // A sign belongs to an exponent.
        let is_sign = matches!(c, '-' | '+') && (*at == 0 || (matches!(before, 'e' | 'E') && !is_hex));
        before = *c;
        !(is_sign || c.is_ascii_alphanumeric() || *c == '.' || *c == '_')
    });
    let end = end.map_or(text.len(), |(at, _)| at);
    let (digits, behind) = text.split_at(end);
    let plain = digits.replace('_', "");
    if let Ok(number) = plain.parse::<i64>() {
        return Ok((Token::Integer(number), behind));
    }
    if let Some(hex) = plain.strip_prefix("0x")
        && let Ok(number) = i64::from_str_radix(hex, 16)
    {
        return Ok((Token::Integer(number), behind));
    }
    plain.parse::<f64>().map(|number| (Token::Float(number), behind)).map_err(|_| format!("`{digits}` is not a number"))
}

/// A text in double quotes, whose opening quote was taken, with its escapes resolved.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((out, &text[at + 1..])),
            '\n' => break,
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(c @ ('"' | '\\' | '\'')) => out.push(c),
                Some('u') => {
                    let hex: String = chars.by_ref().take(4).map(|(_, c)| c).collect();
                    let c = u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32);
                    out.push(c.ok_or_else(|| format!("`\\u{hex}` is not a character"))?);
                }
                other => return Err(format!("`\\{}` is not an escape", other.unwrap_or(' '))),
            },
            c => out.push(c),
        }
    }
    Err("a text in quotes is not closed".to_owned())
}
