//! The web UI: pages rendered on the server, with islands that come alive in the browser.
//!
//! In come GET requests whose whole state is in the address, answered from the query service's own functions. Out go
//! complete HTML pages that work with scripts off; where a page should move (hover, drag, live tail, the trace
//! waterfall) it holds an island of WebAssembly from the bundle embedded in the binary.
//!
//! Two builds of one crate: feature `ssr` is the server's half, feature `hydrate` the browser's; never both at once.
//! No page changes data; what people make here, silences and rules, are files that the alerts' service writes. Nothing of a log line or
//! a name is ever markup, address or style.

// A page is one type, nested as deep as its elements.
#![recursion_limit = "512"]

mod completion;
pub mod format;
mod islands;
mod palette;
mod unit;

#[cfg(feature = "ssr")]
mod answers;
#[cfg(feature = "ssr")]
mod assets;
#[cfg(feature = "ssr")]
mod chart;
#[cfg(feature = "ssr")]
mod clock;
#[cfg(feature = "ssr")]
mod complete;
#[cfg(feature = "ssr")]
mod config_files;
#[cfg(feature = "ssr")]
mod context;
#[cfg(feature = "ssr")]
mod dashboards;
#[cfg(feature = "ssr")]
mod graph;
#[cfg(feature = "ssr")]
mod highlight;
#[cfg(feature = "ssr")]
mod nouns;
#[cfg(feature = "ssr")]
mod pages;
#[cfg(feature = "ssr")]
mod params;
#[cfg(feature = "ssr")]
mod parts;
#[cfg(feature = "ssr")]
mod promql_fault;
#[cfg(feature = "ssr")]
mod request;
#[cfg(feature = "ssr")]
mod router;
#[cfg(feature = "ssr")]
mod saved_searches;
#[cfg(feature = "ssr")]
mod shell;
#[cfg(feature = "ssr")]
mod text;
#[cfg(feature = "ssr")]
mod time_choice;
#[cfg(feature = "ssr")]
mod yaml;

#[cfg(feature = "ssr")]
pub use config_files::ConfigFiles;
#[cfg(feature = "ssr")]
pub use context::{Endpoints, UiContext};
#[cfg(feature = "ssr")]
pub use router::router;

/// Prepares the page for its islands; the loader calls it once, before it wakes each island.
#[cfg(feature = "hydrate")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub fn hydrate() {
    leptos::mount::hydrate_islands();
}
