//! Transitions for people: as lines, and drawn over time.

use super::Backtest;
use crate::machine::{Labels, State, Transition};
use crate::rfc3339;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Characters of a drawn line.
const WIDTH: usize = 72;

fn labels(labels: &Labels) -> String {
    let all = labels.iter().filter(|(name, _)| *name != "alertname");
    all.map(|(name, value)| format!("{name}={value:?}")).collect::<Vec<_>>().join(" ")
}

/// One line for each transition.
pub fn listed(transitions: &[Transition]) -> String {
    let mut out = String::new();
    for one in transitions {
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{}  {:>8} → {:<8}  {}  {}  value {}",
            rfc3339(one.time_ms),
            one.from.name(),
            one.to.name(),
            one.name,
            labels(&one.labels),
            mangru_query::number_text(one.value)
        );
    }
    out
}

/// A line for each alert: `·` where it is quiet, `▒` where it is pending, `█` where it fires.
pub fn draw(run: &Backtest) -> String {
    let mut by_alert: BTreeMap<(String, String), Vec<&Transition>> = BTreeMap::new();
    for one in &run.transitions {
        by_alert.entry((one.name.clone(), labels(&one.labels))).or_default().push(one);
    }
    let mut out = String::new();
    let length = (run.to_ms - run.from_ms).max(1);
    for ((name, labels), transitions) in by_alert {
        let mut line = vec![State::Inactive; WIDTH];
        for (place, one) in transitions.iter().enumerate() {
            let at = |time_ms: i64| (((time_ms - run.from_ms) * WIDTH as i64) / length).clamp(0, WIDTH as i64) as usize;
            let start = at(one.time_ms).min(WIDTH - 1);
            let end = transitions.get(place + 1).map_or(WIDTH, |next| at(next.time_ms)).max(start + 1);
            for cell in &mut line[start..end.min(WIDTH)] {
                // A short state is not hidden by the one behind it.
                *cell = (*cell).max(one.to);
            }
        }
        let drawn: String = line
            .into_iter()
            .map(|state| match state {
                State::Inactive => '·',
                State::Pending => '▒',
                State::Firing => '█',
            })
            .collect();
        let _ = writeln!(out, "{drawn}  {name} {labels}"); // writing to a String cannot fail
    }
    if !out.is_empty() {
        let (from, to) = (rfc3339(run.from_ms), rfc3339(run.to_ms));
        let _ = writeln!(out, "{from}{to:>width$}", width = WIDTH - from.len()); // writing to a String cannot fail
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_drawn_over_time() {
        let step = |time_ms: i64, from: State, to: State| Transition {
            time_ms,
            rule: "r".to_owned(),
            name: "A".to_owned(),
            from,
            to,
            labels: Labels::from([("s".to_owned(), "x".to_owned())]),
            value: 1.0,
        };
        let transitions = vec![
            step(25, State::Inactive, State::Pending),
            step(50, State::Pending, State::Firing),
            step(75, State::Firing, State::Inactive),
        ];
        let run = Backtest { from_ms: 0, to_ms: 100, transitions, ..Backtest::default() };
        let drawn = draw(&run);
        let line = drawn.lines().next().expect("a line");
        assert_eq!(
            line,
            format!("{}{}{}{}  A s=\"x\"", "·".repeat(18), "▒".repeat(18), "█".repeat(18), "·".repeat(18))
        );
    }
}
