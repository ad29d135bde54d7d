//! The round times above a waterfall.

use crate::unit::Unit;
use leptos::prelude::*;

/// The round times as words of an SVG; the outermost stand within it.
pub(crate) fn labels(from: f64, to: f64) -> Vec<AnyView> {
    let label = |(share, words): (f64, String)| {
        let anchor = if share < 0.02 {
            "start"
        } else if share > 0.96 {
            "end"
        } else {
            "middle"
        };
        view! { <text x=format!("{:.2}%", share * 100.0) y="11" text-anchor=anchor>{words}</text> }.into_any()
    };
    ticks(from, to).into_iter().map(label).collect()
}

/// Round times between two, in nanoseconds from the trace's start: each with its place as a share, and in words.
fn ticks(from: f64, to: f64) -> Vec<(f64, String)> {
    let length = (to - from).max(1.0);
    let steps = Unit::Nanoseconds.ticks(0.0, length, 6);
    let step = steps.get(1).copied().unwrap_or(length).max(1.0);
    let first = (from / step).ceil();
    (0..20)
        .map(|n| (first + f64::from(n)) * step)
        .take_while(|at| *at <= to + length * 1e-9)
        .map(|at| ((at - from) / length, Unit::Nanoseconds.tick(at)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_round_wherever_one_looks() {
        let words = |from, to| ticks(from, to).into_iter().map(|(_, words)| words).collect::<Vec<_>>();
        assert_eq!(words(0.0, 1.56e9), ["0", "500 ms", "1 s", "1.5 s"]);
        assert_eq!(words(0.51e9, 0.75e9), ["550 ms", "600 ms", "650 ms", "700 ms", "750 ms"]);
        assert_eq!(words(0.0, 1.0), ["0", "1 ns"]);
    }
}
