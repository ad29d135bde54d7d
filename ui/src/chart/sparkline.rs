//! A line of a word's size; the figure beside it says the number.

use leptos::prelude::*;
use std::fmt::Write as _;

const WIDTH: f64 = 96.0;
const HEIGHT: f64 = 20.0;

/// Draws the values; `class` colours the line.
pub(crate) fn sparkline(values: &[f64], class: &'static str) -> AnyView {
    let top = values.iter().copied().fold(0.0_f64, f64::max);
    if values.len() < 2 || top <= 0.0 {
        return view! { <svg class="spark" viewBox="0 0 96 20" aria-hidden="true"><path class="spark-zero" d="M0 19H96"></path></svg> }
            .into_any();
    }
    let step = WIDTH / (values.len() - 1) as f64;
    let mut line = String::new();
    for (index, value) in values.iter().enumerate() {
        let x = step * index as f64;
        let y = HEIGHT - 1.0 - (value.max(0.0) / top) * (HEIGHT - 3.0);
        // Writing to a String cannot fail.
        let _ = write!(line, "{}{x:.1} {y:.1}", if index == 0 { 'M' } else { 'L' });
    }
    let area = format!("{line}L{WIDTH} {HEIGHT}L0 {HEIGHT}Z");
    let class = format!("spark {class}");
    view! {
        <svg class=class viewBox="0 0 96 20" preserveAspectRatio="none" aria-hidden="true">
            <path class="spark-area" d=area></path>
            <path class="spark-line" d=line></path>
        </svg>
    }
    .into_any()
}
