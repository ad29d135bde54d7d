//! The shapes of the series, in the measure of the stretched picture.

use super::axis::Axis;
use super::{Plot, SIZE, Series, Style};
use crate::chart::frame::share_of;
use leptos::prelude::*;
use std::fmt::Write as _;

/// Where moments and values lie in the picture.
struct Place<'a> {
    plot: &'a Plot<'a>,
    axis: &'a Axis,
}

impl Place<'_> {
    fn x(&self, at: i64) -> f64 {
        share_of(self.plot.range, at) * SIZE
    }

    fn y(&self, value: f64) -> f64 {
        self.axis.share(value) * SIZE
    }
}

/// The series as shapes; `times` and `tops` are the moments of a stack, and what lies on top of it per series.
pub(super) fn shapes(plot: &Plot<'_>, axis: &Axis, times: &[i64], tops: &[Vec<f64>]) -> Vec<AnyView> {
    let place = Place { plot, axis };
    let (x, y) = (|at: i64| place.x(at), |value: f64| place.y(value));
    let drawn = plot.series.iter().enumerate().map(|(number, series)| {
        let class = series.colour(number);
        let shape = match plot.style {
            Style::Line => {
                view! { <path class=format!("line {class}") d=line(series, plot.step_ns, x, y)></path> }.into_any()
            }
            Style::Area => view! {
                <path class=format!("area {class}") d=area(series, plot.step_ns, x, y, y(axis.low.max(0.0)))></path>
                <path class=format!("line {class}") d=line(series, plot.step_ns, x, y)></path>
            }
            .into_any(),
            Style::Stack | Style::Bars => {
                let below = number.checked_sub(1).map(|before| tops[before].as_slice());
                let layer = Layer { times, below, top: &tops[number] };
                if plot.style == Style::Bars {
                    view! { <path class=format!("bar {class}") d=layer.bars(&place)></path> }.into_any()
                } else {
                    view! { <path class=format!("area stacked {class}") d=layer.area(&place)></path> }.into_any()
                }
            }
        };
        view! { <g data-series=number.to_string()>{shape}</g> }.into_any()
    });
    // The first series is the most important: it is drawn last, above the others.
    let mut drawn: Vec<AnyView> = drawn.collect();
    if !plot.style.is_stacked() {
        drawn.reverse();
    }
    drawn
}

/// One series of a stack.
struct Layer<'a> {
    times: &'a [i64],
    below: Option<&'a [f64]>,
    top: &'a [f64],
}

impl Layer<'_> {
    fn base(&self, index: usize) -> f64 {
        self.below.map_or(0.0, |below| below[index])
    }

    fn bars(&self, place: &Place<'_>) -> String {
        let mut d = String::new();
        let width = bar_width(self.times, place.plot).max(1.0);
        for (index, at) in self.times.iter().enumerate() {
            let (low, high) = (place.y(self.base(index)), place.y(self.top[index]));
            if low - high > 0.0 {
                let (left, wide) = (place.x(*at) - width / 2.0, width * 0.86);
                // Writing to a String cannot fail.
                let _ = write!(d, "M{left:.1} {low:.1}h{wide:.1}V{high:.1}h{:.1}z", -wide);
            }
        }
        d
    }

    fn area(&self, place: &Place<'_>) -> String {
        let mut d = String::new();
        for (index, at) in self.times.iter().enumerate() {
            let _ =
                write!(d, "{}{:.1} {:.1}", if index == 0 { 'M' } else { 'L' }, place.x(*at), place.y(self.top[index]));
        }
        for (index, at) in self.times.iter().enumerate().rev() {
            let _ = write!(d, "L{:.1} {:.1}", place.x(*at), place.y(self.base(index)));
        }
        d.push('z');
        d
    }
}

fn bar_width(times: &[i64], plot: &Plot<'_>) -> f64 {
    let length = plot.range.end.saturating_sub(plot.range.start).max(1);
    let step = if plot.step_ns > 0 {
        plot.step_ns
    } else {
        times.windows(2).map(|pair| pair[1] - pair[0]).min().unwrap_or(length)
    };
    step as f64 / length as f64 * SIZE
}

/// Runs of values without a gap.
fn runs(series: &Series, step_ns: i64) -> Vec<&[(i64, f64)]> {
    let is_apart = |before: &(i64, f64), after: &(i64, f64)| {
        !before.1.is_finite() || !after.1.is_finite() || (step_ns > 0 && after.0 - before.0 > step_ns + step_ns / 2)
    };
    series
        .points
        .chunk_by(|before, after| !is_apart(before, after))
        .filter(|run| run.first().is_some_and(|(_, value)| value.is_finite()))
        .collect()
}

fn line(series: &Series, step_ns: i64, x: impl Fn(i64) -> f64, y: impl Fn(f64) -> f64) -> String {
    let mut d = String::new();
    for run in runs(series, step_ns) {
        for (index, (at, value)) in run.iter().enumerate() {
            let _ = write!(d, "{}{:.1} {:.1}", if index == 0 { 'M' } else { 'L' }, x(*at), y(*value));
        }
        if run.len() == 1 {
            // A value alone is still to be seen.
            d.push_str("h8");
        }
    }
    d
}

fn area(series: &Series, step_ns: i64, x: impl Fn(i64) -> f64, y: impl Fn(f64) -> f64, zero: f64) -> String {
    let mut d = String::new();
    for run in runs(series, step_ns) {
        let (Some((first, _)), Some((last, _))) = (run.first(), run.last()) else { continue };
        let _ = write!(d, "M{:.1} {zero:.1}", x(*first));
        for (at, value) in run {
            let _ = write!(d, "L{:.1} {:.1}", x(*at), y(*value));
        }
        let _ = write!(d, "L{:.1} {zero:.1}z", x(*last));
    }
    d
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(points: &[(i64, f64)]) -> Series {
        Series { label: "a".to_owned(), class: String::new(), points: points.to_vec() }
    }

    #[test]
    fn a_line_breaks_where_values_are_missing() {
        let whole = series(&[(0, 1.0), (10, 2.0), (20, 1.0)]);
        let drawn = line(&whole, 10, |at| at as f64, |value| value);
        assert_eq!(drawn.matches('M').count(), 1, "{drawn}");
        let with_gap = series(&[(0, 1.0), (10, 2.0), (40, 1.0), (50, f64::NAN), (60, 3.0)]);
        let drawn = line(&with_gap, 10, |at| at as f64, |value| value);
        assert_eq!(drawn.matches('M').count(), 3, "a gap in time, and one in the values: {drawn}");
        assert_eq!(drawn.matches("h8").count(), 2, "values that stand alone are seen: {drawn}");
    }
}
