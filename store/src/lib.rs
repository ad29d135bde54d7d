//! The store: keeps what the collector decoded and gives it to the query service.
//!
//! In come Arrow batches of one signal ([`SignalBatch`]); they are journaled, and durable when [`Store::append`]
//! returns. Out go snapshots ([`Snapshot`]): the hot batches and the parts that together hold every acknowledged row
//! exactly once. Between the two, hot batches are sealed into parts (one Parquet file each, its tantivy index inside)
//! and published in the catalog together with the journal position they cover.
//!
//! The store never parses a wire protocol and never understands a query: it answers terms with row numbers and row
//! numbers with rows.

// The rows of tests are made through the public door, by tests inside as by those outside.
#[cfg(test)]
extern crate self as mangru_store;

#[doc(hidden)]
pub mod bench;
mod catalog;
mod compaction;
mod config;
mod error;
mod files;
mod foreign;
mod hot;
pub mod id;
mod index;
mod journal;
mod memory;
pub mod nested;
mod objects;
mod part;
mod retention;
mod schema;
mod seal;
mod signal;
mod snapshot;
mod status;
mod store;
mod tails;
mod time_range;
pub mod value;
pub mod words;

pub use config::{ObjectsConfig, StoreConfig};
pub use error::StoreError;
pub use foreign::{ELASTIC_ID, ELASTIC_INDEX, LOKI_TENANT, PROMETHEUS_SCOPE, PROMETHEUS_TYPE};
pub use id::{SpanId, TraceId};
pub use index::{Candidates, ListedRows, PartIndex};
pub use journal::Position;
pub use memory::{Memory, MemoryBudget, MemoryPermit};
pub use part::{Part, PartId, PartReader};
pub use retention::{Expired, Retention};
pub use schema::{
    PROMOTED, PROMOTED_RESOURCE, Promoted, PromotedType, UNKNOWN_SERVICE, attribute_entry_fields, attribute_map,
    dictionary, lifted, list_of, schema, timestamp,
};
pub use signal::{SchemaMismatch, Signal, SignalBatch};
pub use snapshot::Snapshot;
pub use status::{ObjectsStatus, StoreStatus, TableStatus};
pub use store::Store;
pub use tails::{TailReader, Tailed};
pub use time_range::TimeRange;
