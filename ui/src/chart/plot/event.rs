//! Moments on a chart at which something happened: a version that was seen first, an alert that fired.

use crate::chart::frame::{place, share_of};
use leptos::prelude::*;
use mangru_store::TimeRange;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventKind {
    /// A version was seen first.
    Version,
    /// An alert fired.
    Fired,
    /// An alert was resolved.
    Resolved,
}

impl EventKind {
    /// The mark at the top of its line: the kinds are not told apart by colour alone.
    pub(super) const fn sign(self) -> &'static str {
        match self {
            Self::Version => "◆",
            Self::Fired => "●",
            Self::Resolved => "✔",
        }
    }

    const fn class(self) -> &'static str {
        match self {
            Self::Version => "event",
            Self::Fired => "event fired",
            Self::Resolved => "event resolved",
        }
    }
}

/// A moment at which something happened.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// When.
    pub(crate) time_ns: i64,
    /// What it was, in words.
    pub(crate) label: String,
    /// Where more of it is shown.
    pub(crate) href: Option<String>,
    /// What it was.
    pub(crate) kind: EventKind,
}

impl Event {
    /// A line down the plot with its sign.
    pub(super) fn view(&self, range: TimeRange) -> AnyView {
        let x = place(share_of(range, self.time_ns));
        let shape = view! {
            <line class="event-mark" x1=x.clone() x2=x.clone() y1="0" y2="100%"></line>
            <line class="event-hit" x1=x.clone() x2=x.clone() y1="0" y2="100%"></line>
            <text class="event-sign" x=x y="9">{self.kind.sign()}</text>
            <title>{self.label.clone()}</title>
        };
        let class = self.kind.class();
        match self.href.clone() {
            // The table beside the chart has the same link.
            Some(href) => {
                view! { <a class=class href=href tabindex="-1" aria-label=self.label.clone()>{shape}</a> }.into_any()
            }
            None => view! { <g class=class>{shape}</g> }.into_any(),
        }
    }
}
