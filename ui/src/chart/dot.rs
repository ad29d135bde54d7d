//! Single measurements on a chart, each the way to what was measured.

use super::frame::place;
use leptos::prelude::*;

/// A single measurement.
#[derive(Clone, Debug)]
pub(crate) struct Dot {
    /// When.
    pub(crate) time_ns: i64,
    /// The value.
    pub(crate) value: f64,
    /// Whether it failed.
    pub(crate) is_error: bool,
    /// Where it leads.
    pub(crate) href: String,
    /// Its name for people.
    pub(crate) label: String,
}

/// The mark of a measurement at shares from the left and from the top; its address is also reached from the table or list
/// beside the chart.
pub(crate) fn dot_view(x: f64, y: f64, is_error: bool, href: String, label: String) -> AnyView {
    let (cx, cy) = (place(x), place(y));
    let shape = if is_error {
        // A diamond, in an SVG of its own because a path knows no percent.
        view! { <svg x=cx y=cy class="dot-place"><path class="dot error" d="M-5 0L0 -5L5 0L0 5Z"></path></svg> }
            .into_any()
    } else {
        view! { <circle class="dot" cx=cx cy=cy r="3.5"></circle> }.into_any()
    };
    let spoken = label.clone();
    view! { <a class="dot-link" href=href tabindex="-1" aria-label=spoken>{shape}<title>{label}</title></a> }.into_any()
}
