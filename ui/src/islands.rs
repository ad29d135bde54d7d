//! The islands: the few pieces that come alive in the browser. Each renders the same on the server, so a page is whole
//! before (and without) them.

// The macro makes each island public, because the bundle exports it.
#![allow(unreachable_pub)]

pub(crate) mod assist;
mod browser;
pub(crate) mod brush;
mod clipboard;
pub(crate) mod graph;
pub(crate) mod histogram;
pub(crate) mod page;
pub(crate) mod plot;
pub(crate) mod refresh;
pub(crate) mod tail;
pub(crate) mod waterfall;
