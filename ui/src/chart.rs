//! Charts of our own, drawn on the server as SVG: shapes stretch with the page, words stand beside them in HTML, and a
//! data table lies behind a disclosure.

mod axis;
pub(crate) mod dot;
mod figure;
pub(crate) mod frame;
pub(crate) mod heat;
pub(crate) mod histogram;
pub(crate) mod latency;
pub(crate) mod plot;
pub(crate) mod scatter;
pub(crate) mod sparkline;
