//! A chart of time as a figure: heading, values at the left, the picture, times below, names, and what stands under it. The
//! part over which the pointer moves is alive.

use super::frame::{grid, share_labels, time_labels};
use crate::islands::plot::PlotHover;
use crate::unit::Unit;
use leptos::prelude::*;
use mangru_store::TimeRange;

/// What the pointer reads out, where it is over values.
#[derive(Default)]
pub(super) struct Hover {
    /// The values' unit.
    pub(super) unit: Unit,
    /// The names of the series.
    pub(super) labels: Vec<String>,
    /// The classes of their colours.
    pub(super) classes: Vec<String>,
    /// The moments of values, as shares of the width.
    pub(super) offsets: Vec<f64>,
    /// A value per series and moment.
    pub(super) values: Vec<Vec<Option<f64>>>,
    /// The address that a chosen range is added to; empty when there is no zoom.
    pub(super) base: String,
}

/// The parts of a figure.
pub(super) struct Figure {
    /// Its classes.
    pub(super) class: &'static str,
    /// What stands above it.
    pub(super) head: Option<AnyView>,
    /// The picture in words.
    pub(super) summary: String,
    /// Whether shapes of the picture lead somewhere.
    pub(super) has_links: bool,
    /// The time from left to right.
    pub(super) range: TimeRange,
    /// About how many times stand below.
    pub(super) time_ticks: i64,
    /// What stands at the left, by its share from the top.
    pub(super) at_left: Vec<(f64, String)>,
    /// The lines across, as shares from the top.
    pub(super) across: Vec<f64>,
    /// The shapes, placed by percent.
    pub(super) shapes: AnyView,
    /// What stands over the picture.
    pub(super) over: Option<AnyView>,
    /// The names of the series.
    pub(super) names: Option<AnyView>,
    /// What the pointer reads out.
    pub(super) hover: Hover,
    /// What stands under the figure.
    pub(super) below: AnyView,
}

impl Figure {
    /// The figure as HTML.
    pub(super) fn view(self) -> AnyView {
        let Hover { unit, labels, classes, offsets, values, base } = self.hover;
        let range = self.range;
        // What an island wraps is made before it: it outlives the figure.
        let (left, below_it) = (share_labels(self.at_left), time_labels(range, self.time_ticks));
        let lines = grid(self.across, range, self.time_ticks);
        let role = if self.has_links { "group" } else { "img" };
        let (summary, shapes, over, names) = (self.summary, self.shapes, self.over, self.names);
        view! {
            <figure class=self.class>
                {self.head}
                <PlotHover start_ns=range.start end_ns=range.end unit labels classes offsets values base>
                    <div class="plot-body">
                        {left}
                        <div class="plot-canvas">
                            <svg class="plot-shapes" role=role aria-label=summary>{lines}{shapes}</svg>
                            {over}
                        </div>
                    </div>
                    {below_it}
                    {names}
                </PlotHover>
                {self.below}
            </figure>
        }
        .into_any()
    }
}

/// Shapes in the measure of a picture that stretches, 1000 by 1000.
pub(super) fn stretched(shapes: impl IntoView + 'static) -> AnyView {
    view! { <svg viewBox="0 0 1000 1000" preserveAspectRatio="none" width="100%" height="100%">{shapes}</svg> }
        .into_any()
}
