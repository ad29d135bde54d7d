//! Notifications: who is told what, when, by which way, and for sure.
//!
//! [`dispatch`] decides, on a clock that is passed in; what it decides is written into the outbox in the same transaction as the
//! memory of it; [`deliver`] sends what the outbox holds until the receiver has it.

pub mod config;
pub mod deliver;
pub mod dispatch;
pub mod matcher;
pub mod outside;
mod place;
pub(crate) mod receivers;
mod shown;
pub mod silence;
mod times;

pub use config::NotifyConfig;
pub use dispatch::{Decision, Dispatcher, Notice, Told};
pub use outside::{Posted, PostedFields};
pub use silence::{Silence, SilenceFields, Silences};
