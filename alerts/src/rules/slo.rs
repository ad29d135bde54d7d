//! Service level objectives: from an objective and its window to alerts on how fast the budget of errors burns.
//!
//! Each alert looks at a long window, that shows that it matters, and at a short one, that shows that it is still so; the windows
//! and shares of the budget are those of Google's "The Site Reliability Workbook", chapter 5, for 30 days, and in proportion
//! for other windows.

use super::condition::number;

/// The window that the numbers below are for: 30 days, in milliseconds.
const MONTH_MS: f64 = 30.0 * 86_400_000.0;

/// One of the alerts of an objective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Burn {
    /// The long window, in milliseconds.
    pub(super) long_ms: i64,
    /// The short window, in milliseconds.
    pub(super) short_ms: i64,
    /// How many times as fast as the budget allows.
    pub(super) factor: f64,
    /// The label `severity` of the alert, unless the rule sets one.
    pub(super) severity: &'static str,
}

const HOUR_MS: f64 = 3_600_000.0;
/// Long window in hours, short window in hours, factor, severity.
const BURNS: [(f64, f64, f64, &str); 4] =
    [(1.0, 1.0 / 12.0, 14.4, "page"), (6.0, 0.5, 6.0, "page"), (24.0, 2.0, 3.0, "ticket"), (72.0, 6.0, 1.0, "ticket")];

/// The alerts for an objective over this window.
pub(super) fn burns(window_ms: i64) -> [Burn; 4] {
    let scale = window_ms as f64 / MONTH_MS;
    // Windows are whole seconds, and no shorter than one.
    let scaled = |hours: f64| ((hours * HOUR_MS * scale / 1000.0).round().max(1.0) as i64) * 1000;
    BURNS.map(|(long, short, factor, severity)| Burn {
        long_ms: scaled(long),
        short_ms: scaled(short),
        factor,
        severity,
    })
}

/// The share of requests that may be bad: 0.001 for `99.9%`, `99.9` and `0.999`.
pub(super) fn budget(objective: &str) -> Result<f64, String> {
    let wrong = || format!("`{objective}` is not an objective such as 99.9%, above 0 and below 100%");
    let given = number(objective).ok_or_else(wrong)?;
    let share = if objective.contains('%') || given <= 1.0 { given } else { given / 100.0 };
    if share > 0.0 && share < 1.0 { Ok(((1.0 - share) * 1e9).round() / 1e9) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_has_the_windows_of_the_workbook() {
        let [page, _, _, ticket] = burns(30 * 86_400_000);
        assert_eq!((page.long_ms, page.short_ms), (3_600_000, 300_000));
        assert!((page.factor - 14.4).abs() < 1e-9);
        assert_eq!((ticket.long_ms, ticket.short_ms, ticket.severity), (259_200_000, 21_600_000, "ticket"));
        assert_eq!(burns(7 * 86_400_000)[0].long_ms, 840_000);
    }

    #[test]
    fn objectives_are_shares_or_percentages() {
        for same in ["99.9%", "99.9", "0.999"] {
            assert!((budget(same).expect("an objective") - 0.001).abs() < 1e-12, "{same}");
        }
        for wrong in ["100%", "0", "150", "many", "-1"] {
            assert!(budget(wrong).is_err(), "{wrong}");
        }
    }
}
