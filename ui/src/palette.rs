//! One stable colour per service, and the marks of severities: class names, the style sheet holds the colours.

/// How many service colours the style sheet has (`svc-0` …).
pub(crate) const SERVICE_COLOURS: u64 = 12;

/// The number of a service's colour; the same on every screen, on the server and in the browser.
pub(crate) fn service_colour(name: &str) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in name.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    (hash ^ (hash >> 32)) % SERVICE_COLOURS
}

/// The class of a service's colour.
pub(crate) fn service_class(name: &str) -> String {
    format!("svc-{}", service_colour(name))
}

/// A severity as OpenTelemetry's number groups it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// No number was sent.
    Unset,
    /// 1–4
    Trace,
    /// 5–8
    Debug,
    /// 9–12
    Info,
    /// 13–16
    Warn,
    /// 17–20
    Error,
    /// 21–24
    Fatal,
}

impl Severity {
    /// Every group, mildest first.
    #[cfg(feature = "ssr")]
    pub(crate) const ALL: [Self; 7] =
        [Self::Unset, Self::Trace, Self::Debug, Self::Info, Self::Warn, Self::Error, Self::Fatal];

    /// The group of a severity number.
    pub(crate) const fn of(number: i32) -> Self {
        match number {
            1..=4 => Self::Trace,
            5..=8 => Self::Debug,
            9..=12 => Self::Info,
            13..=16 => Self::Warn,
            17..=20 => Self::Error,
            21.. => Self::Fatal,
            _ => Self::Unset,
        }
    }

    /// The word of the search language, `level:error`, also the end of its class name.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Unset => "unset",
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }

    /// The mark beside the colour, so that colour is never alone.
    pub(crate) const fn mark(self) -> &'static str {
        match self {
            Self::Unset => "–",
            Self::Trace => "TRC",
            Self::Debug => "DBG",
            Self::Info => "INF",
            Self::Warn => "WRN",
            Self::Error => "ERR",
            Self::Fatal => "FTL",
        }
    }

    /// The class that colours text, marks and bars.
    pub(crate) fn class(self) -> String {
        format!("sev-{}", self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_keeps_its_colour() {
        assert_eq!(service_colour("checkout"), service_colour("checkout"));
        assert!((0..200).all(|n| service_colour(&format!("service-{n}")) < SERVICE_COLOURS));
    }

    #[test]
    fn severity_numbers_fall_into_their_groups() {
        assert_eq!(Severity::of(0), Severity::Unset);
        assert_eq!(Severity::of(9), Severity::Info);
        assert_eq!(Severity::of(16), Severity::Warn);
        assert_eq!(Severity::of(99), Severity::Fatal);
        assert_eq!(Severity::of(-3), Severity::Unset);
    }
}
