//! Settings of the store.

use crate::{Memory, Retention};
use std::path::PathBuf;
use std::time::Duration;

/// Where the store keeps its files and how much it may hold.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The folder of journal, catalog and parts; made when missing. Default `./mangru-data`.
    pub data_dir: PathBuf,
    /// A signal's hot rows are sealed when there are this many. Default 262,144.
    pub seal_rows: usize,
    /// A signal's hot rows are sealed when they take this much memory. Default 14 MiB.
    pub seal_bytes: usize,
    /// A signal's hot rows are sealed when the oldest is this old. Default 5 min.
    pub seal_age: Duration,
    /// Appends are refused (retry later) while unsealed journal segments take more than this. Default 2 GiB.
    pub journal_max_bytes: u64,
    /// Memory for requests, hot rows, sealing, merging and queries together. Default 256 MiB.
    pub memory_max_bytes: usize,
    /// Appends are refused (retry later) while requests and hot batches together take more memory. Default 44 MiB.
    pub ingest_max_bytes: usize,
    /// Appends are refused (retry later) while the disk has less room than this. Default 256 MiB.
    pub disk_reserve_bytes: u64,
    /// Files of merged parts are kept so long for other programs that read them. Default 1 min.
    pub retired_grace: Duration,
    /// What is kept of each signal, in the order of [`crate::Signal::ALL`]. Default all, for ever.
    pub retention: [Retention; 3],
    /// An object store for older parts. Default none: all parts stay on this machine.
    pub objects: Option<ObjectsConfig>,
}

/// An object store that older parts are moved to.
#[derive(Clone)]
pub struct ObjectsConfig {
    /// `s3://bucket` or `s3://bucket/folder`.
    pub url: String,
    /// The address of an S3 compatible server, such as `http://127.0.0.1:9000`; `None` for Amazon's own.
    pub endpoint: Option<String>,
    /// The region; `None` for that of the environment.
    pub region: Option<String>,
    /// Access key id and secret; `None` for those of the environment (`AWS_ACCESS_KEY_ID` and so on, or the machine's role).
    pub credentials: Option<(String, String)>,
    /// What stays on this machine of each signal; the rest is moved, oldest first.
    pub local: Retention,
    /// Bytes of remote parts that are kept on the local disk for further reads.
    pub cache_max_bytes: u64,
}

impl std::fmt::Debug for ObjectsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the credentials.
        f.debug_struct("ObjectsConfig")
            .field("url", &self.url)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl StoreConfig {
    /// The budget of the whole process.
    pub(crate) fn memory(&self) -> Memory {
        Memory::new(self.memory_max_bytes, self.ingest_max_bytes, self.seal_bytes)
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./mangru-data"),
            seal_rows: 262_144,
            seal_bytes: 14 << 20,
            seal_age: Duration::from_mins(5),
            journal_max_bytes: 2 << 30,
            memory_max_bytes: 256 << 20,
            ingest_max_bytes: 44 << 20,
            disk_reserve_bytes: 256 << 20,
            retired_grace: Duration::from_mins(1),
            retention: [Retention::default(); 3],
            objects: None,
        }
    }
}
