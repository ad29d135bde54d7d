//! The address is the state: reading its query string, and building the next address from it.

/// The parameters of a query string, in their order; a name may come several times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Reads a query string without its `?`. What is not valid UTF-8 after decoding is replaced, never refused.
    pub(crate) fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        });
        Self(pairs.collect())
    }

    /// The first value of a name, when it is there and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// Every value of a name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// The same with one value for the name.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut next = self.without(name);
        next.0.push((name.to_owned(), value.to_owned()));
        next
    }

    /// The same with one more value of the name.
    pub(crate) fn and(&self, name: &str, value: &str) -> Self {
        let mut next = self.clone();
        next.0.push((name.to_owned(), value.to_owned()));
        next
    }

    /// The same without the name.
    pub(crate) fn without(&self, name: &str) -> Self {
        Self(self.0.iter().filter(|(key, _)| key != name).cloned().collect())
    }

    /// The same without one value of the name.
    pub(crate) fn without_value(&self, name: &str, value: &str) -> Self {
        Self(self.0.iter().filter(|(key, other)| key != name || other != value).cloned().collect())
    }

    /// The pairs, for hidden inputs of a form.
    pub(crate) fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// The address of a path with these parameters.
    pub(crate) fn on(&self, path: &str) -> String {
        if self.0.is_empty() {
            return path.to_owned();
        }
        let mut address = format!("{path}?");
        for (index, (name, value)) in self.0.iter().enumerate() {
            if index > 0 {
                address.push('&');
            }
            address.push_str(&encoded(name));
            address.push('=');
            address.push_str(&encoded(value));
        }
        address
    }
}

/// A text as one piece of an address: everything but unreserved characters is escaped.
pub(crate) fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%')
            .then(|| {
                let digits = bytes.get(at + 1..at + 3)?;
                let high = char::from(digits[0]).to_digit(16)?;
                let low = char::from(digits[1]).to_digit(16)?;
                Some((high << 4 | low) as u8)
            })
            .flatten();
        match (bytes[at], escaped) {
            (_, Some(byte)) => {
                out.push(byte);
                at += 3;
            }
            (b'+', None) => {
                out.push(b' ');
                at += 1;
            }
            (byte, None) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_is_read_back() {
        let params = Params::default()
            .with("q", "level>=warn \"결제 실패\" a+b&c=d %")
            .with("start", "-15m")
            .and("facet", "host.name");
        let address = params.on("/logs");
        let (path, query) = address.split_once('?').expect("a query string");
        assert_eq!(path, "/logs");
        assert_eq!(Params::parse(query), params);
    }

    #[test]
    fn broken_escapes_stay_as_they_are() {
        assert_eq!(Params::parse("q=100%&r=%zz&s=%f").get("q"), Some("100%"));
        assert_eq!(Params::parse("q=%zz").get("q"), Some("%zz"));
        assert_eq!(Params::parse("q=%ff").get("q"), Some("\u{fffd}"));
    }

    #[test]
    fn with_replaces_and_without_removes() {
        let params = Params::parse("a=1&b=2&a=3");
        assert_eq!(params.with("a", "9").on("/"), "/?b=2&a=9");
        assert_eq!(params.without("a").on("/"), "/?b=2");
        assert_eq!(params.all("a").collect::<Vec<_>>(), ["1", "3"]);
    }
}
