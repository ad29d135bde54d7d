//! Graphs of who calls whom: laid out in layers from left to right, drawn as SVG.

pub(crate) mod draw;
mod layers;
pub(crate) mod layout;
mod straighten;
