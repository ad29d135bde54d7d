//! One stable colour per service, and the marks of severities: class names, the style sheet holds the colours.

#[cfg(feature = "ssr")]
use std::collections::{BTreeMap, BTreeSet};
#[cfg(feature = "ssr")]
use std::sync::Arc;

/// How many service colours the style sheet has (`svc-0` …).
pub(crate) const SERVICE_COLOURS: u64 = 16;

/// A number made of a text, all of whose bits depend on all of it.
fn hash(text: &str, salt: u64) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 29)
}

/// The colours in the order in which a service wants them; it depends on its name alone.
fn wanted(name: &str) -> Vec<u64> {
    let mut colours: Vec<u64> = (0..SERVICE_COLOURS).collect();
    colours.sort_unstable_by_key(|colour| hash(name, colour + 1));
    colours
}

/// Who has which colour: no two services the same as long as there are colours, and as evenly as can be beyond.
///
/// Each service asks for colours in an order of its own, and a colour keeps whom it ranks first. What comes of that depends on
/// the names alone, and one name more moves few others.
#[cfg(feature = "ssr")]
#[derive(Debug, Default)]
pub(crate) struct ServiceColours(BTreeMap<String, u64>);

#[cfg(feature = "ssr")]
impl ServiceColours {
    /// The colours of these services.
    pub(crate) fn of(names: &BTreeSet<String>) -> Self {
        let room = names.len().div_ceil(SERVICE_COLOURS as usize).max(1);
        let wants: Vec<(&String, Vec<u64>)> = names.iter().map(|name| (name, wanted(name))).collect();
        // Whom each colour holds: its rank, the service's place, and how many colours that one has asked.
        let mut held: Vec<Vec<(u64, usize, usize)>> = vec![Vec::new(); SERVICE_COLOURS as usize];
        let mut waiting: Vec<(usize, usize)> = (0..wants.len()).map(|place| (place, 0)).collect();
        while let Some((place, asked)) = waiting.pop() {
            let (name, wants) = &wants[place];
            let Some(colour) = wants.get(asked) else { continue };
            let holds = &mut held[*colour as usize];
            holds.push((hash(name, colour + 1_000), place, asked));
            if holds.len() > room
                && let Some(last) = (0..holds.len()).max_by_key(|index| holds[*index])
            {
                let (_, place, asked) = holds.swap_remove(last);
                waiting.push((place, asked + 1));
            }
        }
        let of_colour = |(colour, holds): (usize, Vec<(u64, usize, usize)>)| {
            holds.into_iter().map(|(_, place, _)| (wants[place].0.clone(), colour as u64)).collect::<Vec<_>>()
        };
        Self(held.into_iter().enumerate().flat_map(of_colour).collect())
    }

    /// All names with their colours, for what runs in the browser.
    pub(crate) fn pairs(&self) -> (Vec<String>, Vec<u64>) {
        self.0.iter().map(|(name, colour)| (name.clone(), *colour)).unzip()
    }
}

/// The number of a service's colour: the same on every screen. Of a name that is not known, the one it would like best.
pub(crate) fn service_colour(name: &str) -> u64 {
    #[cfg(feature = "ssr")]
    if let Some(colour) =
        leptos::prelude::use_context::<Arc<ServiceColours>>().and_then(|colours| colours.0.get(name).copied())
    {
        return colour;
    }
    wanted(name).first().copied().unwrap_or_default()
}

/// The class of a service's colour.
#[cfg(feature = "ssr")]
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
    #[cfg(feature = "ssr")]
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

    /// The group of a level by its name; empty when a log has none.
    pub(crate) fn of_level(level: &str) -> Self {
        match level {
            "trace" => Self::Trace,
            "debug" => Self::Debug,
            "info" => Self::Info,
            "warn" => Self::Warn,
            "error" => Self::Error,
            "fatal" => Self::Fatal,
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
    fn a_service_that_nobody_knows_has_a_colour_too() {
        assert_eq!(service_colour("checkout"), service_colour("checkout"));
        assert!((0..200).all(|n| service_colour(&format!("service-{n}")) < SERVICE_COLOURS));
    }

    fn names(count: usize) -> BTreeSet<String> {
        (0..count).map(|number| format!("service-{number}")).collect()
    }

    #[test]
    fn no_two_services_share_a_colour_while_there_are_colours() {
        for count in [1, 2, 11, 16] {
            let colours = ServiceColours::of(&names(count));
            let used: BTreeSet<u64> = colours.0.values().copied().collect();
            assert_eq!((colours.0.len(), used.len()), (count, count));
        }
        let many = ServiceColours::of(&names(100));
        for colour in 0..SERVICE_COLOURS {
            let having = many.0.values().filter(|other| **other == colour).count();
            assert!((1..=7).contains(&having), "colour {colour} is that of {having} of 100 services");
        }
    }

    #[test]
    fn one_service_more_moves_few_others() {
        let mut moved = 0;
        for count in 1..15 {
            let (before, after) = (ServiceColours::of(&names(count)), ServiceColours::of(&names(count + 1)));
            moved += before.0.iter().filter(|(name, colour)| after.0[*name] != **colour).count();
        }
        assert!(moved <= 14, "{moved} services got another colour while 14 others came");
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
