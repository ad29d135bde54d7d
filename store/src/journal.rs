//! The journal: batches on disk, in order, before they are acknowledged.
//!
//! One writer thread takes the batches that wait, writes them behind each other into the newest segment file and makes
//! them durable with one `fdatasync` (group commit). Only then are they handed to the hot tables and acknowledged.
//! A segment file goes when every batch in it is covered by published parts.

mod codec;
mod frame;
mod recovery;
mod scratch;
mod segment;
mod writer;

pub(crate) use frame::Frame;
pub(crate) use recovery::Replay;
pub(crate) use segment::Segments;
pub(crate) use writer::{Entry, JournalWriter, OnDurable};

/// The number of a batch in the journal: strictly increasing over the whole life of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Position(pub u64);
