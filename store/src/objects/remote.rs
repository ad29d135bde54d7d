//! Objects in an S3 compatible store: written as a whole, read by range through blocks that are kept on the local disk.

use super::cache::{BLOCK_BYTES, BlockCache, BlockId};
use crate::files::RandomRead;
use crate::part::PartId;
use crate::{ObjectsConfig, StoreError};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as ObjectPath;
use object_store::{
    BackoffConfig, ClientOptions, GetOptions, ObjectStore, ObjectStoreExt as _, PutPayload, RetryConfig, WriteMultipart,
};
use parking_lot::{Condvar, Mutex};
use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Objects that are larger go up in pieces of this size.
const PIECE_BYTES: usize = 8 << 20;
/// Pieces of an object on their way at the same time.
const PIECES_AT_ONCE: usize = 2;
/// Blocks of one request at most: readers that go on reading get more at a time.
const MAX_RUN: u64 = 16;
/// A request that takes longer is given up, and tried again.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A call with all its tries takes no longer, so that queries do not hang.
const RETRY_TIMEOUT: Duration = Duration::from_secs(15);

/// A bucket, or a folder of one, and the cache of what is read from it.
#[derive(Debug)]
pub(crate) struct Remote {
    store: Arc<dyn ObjectStore>,
    prefix: ObjectPath,
    url: String,
    cache: Arc<BlockCache>,
    runtime: tokio::runtime::Handle,
}

impl Remote {
    /// The object store of the configuration; the cache stands in `folder`. Nothing is sent yet.
    pub(crate) fn open(config: &ObjectsConfig, folder: &Path) -> Result<Self, StoreError> {
        let wrong = |reason: String| StoreError::Config { field: "objects.url", reason };
        let parsed = url::Url::parse(&config.url).map_err(|error| wrong(error.to_string()))?;
        if parsed.scheme() != "s3" || parsed.host_str().is_none_or(str::is_empty) {
            return Err(wrong(format!("`{}` is not s3://bucket or s3://bucket/folder", config.url)));
        }
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(3),
                base: 2.0,
            },
            max_retries: 6,
            retry_timeout: RETRY_TIMEOUT,
        };
        let client = ClientOptions::new().with_timeout(REQUEST_TIMEOUT).with_connect_timeout(CONNECT_TIMEOUT);
        let mut builder = AmazonS3Builder::from_env()
            .with_url(format!("s3://{}", parsed.host_str().unwrap_or_default()))
            .with_retry(retry)
            .with_client_options(client);
        if let Some(endpoint) = &config.endpoint {
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
        }
        if let Some(region) = &config.region {
            builder = builder.with_region(region);
        }
        if let Some((id, secret)) = &config.credentials {
            builder = builder.with_access_key_id(id).with_secret_access_key(secret);
        }
        let prefix = ObjectPath::parse(parsed.path().trim_matches('/')).map_err(|error| wrong(error.to_string()))?;
        let cache = BlockCache::open(folder, config.cache_max_bytes).map_err(|source| StoreError::Io {
            action: "open",
            path: folder.display().to_string(),
            source,
        })?;
        Ok(Self {
            store: Arc::new(builder.build()?),
            prefix,
            url: config.url.trim_end_matches('/').to_owned(),
            cache: Arc::new(cache),
            runtime: tokio::runtime::Handle::current(),
        })
    }

    /// What is kept of it on the local disk.
    pub(crate) fn cache(&self) -> &BlockCache {
        &self.cache
    }

    /// `s3://bucket/folder`, without a slash at its end.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    fn location(&self, path: &str) -> ObjectPath {
        self.prefix.parts().chain(ObjectPath::from(path).parts()).collect()
    }

    /// Writes an object as a whole from a source of bytes. It is there, and durable, when this returns.
    pub(crate) async fn put(&self, path: &str, source: Arc<dyn RandomRead>) -> Result<(), StoreError> {
        let location = self.location(path);
        let length = source.len();
        let read = |range: Range<u64>| {
            let source = Arc::clone(&source);
            let failed = |source| StoreError::Io { action: "read", path: path.to_owned(), source };
            async move {
                let read = tokio::task::spawn_blocking(move || source.read(range)).await;
                read.map_err(|_| StoreError::Closing)?.map_err(failed)
            }
        };
        if length <= PIECE_BYTES as u64 {
            self.store.put(&location, PutPayload::from_bytes(read(0..length).await?)).await?;
        } else {
            let upload = self.store.put_multipart(&location).await?;
            let mut pieces = WriteMultipart::new_with_chunk_size(upload, PIECE_BYTES);
            let mut at = 0;
            while at < length {
                let end = length.min(at + PIECE_BYTES as u64);
                let ready = pieces.wait_for_capacity(PIECES_AT_ONCE).await;
                let piece = match ready {
                    Ok(()) => read(at..end).await,
                    Err(error) => Err(error.into()),
                };
                match piece {
                    Ok(piece) => pieces.put(piece),
                    Err(error) => {
                        // What stays of it is the bucket's to clean up.
                        let _ = pieces.abort().await;
                        return Err(error);
                    }
                }
                at = end;
            }
            pieces.finish().await?;
        }
        let stored = self.store.head(&location).await?.size;
        if stored != length {
            let reason = format!("the object store has {stored} bytes of {length}");
            return Err(StoreError::Corrupt { path: path.to_owned(), reason });
        }
        Ok(())
    }

    /// The bytes of an object of known length, piece by piece.
    pub(crate) async fn for_each_piece(
        &self,
        path: &str,
        mut each: impl FnMut(Bytes) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let location = self.location(path);
        let mut pieces = self.store.get_opts(&location, GetOptions::default()).await?.into_stream();
        while let Some(piece) = pieces.next().await {
            each(piece?)?;
        }
        Ok(())
    }

    /// Removes an object; one that is not there is no error.
    pub(crate) async fn delete(&self, path: &str) -> Result<(), StoreError> {
        match self.store.delete(&self.location(path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets go of what is cached of a part.
    pub(crate) fn forget(&self, part: PartId) {
        self.cache.forget(part);
    }

    /// An object to be read by range. Nothing is sent yet.
    pub(crate) fn object(&self, part: PartId, path: &str, length: u64) -> RemoteObject {
        RemoteObject {
            part,
            location: self.location(path),
            length,
            store: Arc::clone(&self.store),
            cache: Arc::clone(&self.cache),
            runtime: self.runtime.clone(),
            fetching: Mutex::default(),
            fetched: Condvar::new(),
        }
    }
}

/// An object that is read by range. Reading blocks until the bytes are there.
#[derive(Debug)]
pub(crate) struct RemoteObject {
    part: PartId,
    location: ObjectPath,
    length: u64,
    store: Arc<dyn ObjectStore>,
    cache: Arc<BlockCache>,
    runtime: tokio::runtime::Handle,
    fetching: Mutex<Fetching>,
    fetched: Condvar,
}

/// What is on its way.
#[derive(Debug, Default)]
struct Fetching {
    blocks: HashSet<u64>,
    /// The block behind the last run, and how long that was: who reads on gets a longer one.
    next: u64,
    run: u64,
}

impl RemoteObject {
    const fn id(&self, number: u64) -> BlockId {
        BlockId { part: self.part, number }
    }

    const fn block_range(&self, blocks: &Range<u64>) -> Range<u64> {
        let end = blocks.end * BLOCK_BYTES;
        blocks.start * BLOCK_BYTES..if end < self.length { end } else { self.length }
    }

    /// The bytes of one block that lie in the range; fetches the block, and maybe some behind it, when it is not here.
    /// `last` is the last block that the caller wants.
    fn block(&self, number: u64, range: &Range<u64>, last: u64) -> io::Result<Bytes> {
        let start = number * BLOCK_BYTES;
        let end = self.length.min(start + BLOCK_BYTES);
        let within = (range.start.max(start) - start) as usize..(range.end.min(end) - start) as usize;
        loop {
            if let Some(bytes) = self.cache.read(self.id(number), within.clone()) {
                return Ok(bytes);
            }
            let Some(run) = self.claim(number, last) else { continue };
            let fetched = self.fetch(self.block_range(&run));
            if let Ok(bytes) = &fetched {
                for (place, block) in run.clone().enumerate() {
                    let from = place * BLOCK_BYTES as usize;
                    let to = bytes.len().min(from + BLOCK_BYTES as usize);
                    self.cache.keep(self.id(block), &bytes[from..to]);
                }
            }
            let mut fetching = self.fetching.lock();
            for block in run {
                fetching.blocks.remove(&block);
            }
            drop(fetching);
            self.fetched.notify_all();
            // The bytes are taken from here, since the cache may be too small to keep them.
            return fetched.map(|bytes| bytes.slice(within));
        }
    }

    /// The run of blocks that this thread is to fetch; `None` after another one has fetched the first of them.
    fn claim(&self, number: u64, last: u64) -> Option<Range<u64>> {
        let mut fetching = self.fetching.lock();
        if fetching.blocks.contains(&number) {
            self.fetched.wait(&mut fetching);
            return None;
        }
        let wanted = last - number + 1;
        let ahead = if number == fetching.next { fetching.run * 2 } else { 0 };
        let blocks = self.length.div_ceil(BLOCK_BYTES);
        let most = wanted.max(ahead).clamp(1, MAX_RUN).min(blocks - number);
        let is_missing = |block: &u64| !fetching.blocks.contains(block) && !self.cache.contains(self.id(*block));
        let end = (number + 1..number + most).take_while(is_missing).last().map_or(number + 1, |block| block + 1);
        fetching.blocks.extend(number..end);
        fetching.next = end;
        fetching.run = end - number;
        Some(number..end)
    }

    /// Works on any thread: the request itself runs on the runtime.
    fn fetch(&self, range: Range<u64>) -> io::Result<Bytes> {
        let (done, answer) = std::sync::mpsc::sync_channel(1);
        let (store, location, wanted) = (Arc::clone(&self.store), self.location.clone(), range.clone());
        self.runtime.spawn(async move {
            // Nobody waits any more only when the whole process ends.
            let _ = done.send(store.get_range(&location, wanted).await);
        });
        let gone = |_| io::Error::other("the object store's client has stopped");
        let bytes = answer.recv().map_err(gone)?.map_err(io::Error::other)?;
        if bytes.len() as u64 != range.end - range.start {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the object store gave fewer bytes than it has"));
        }
        Ok(bytes)
    }
}

impl RandomRead for RemoteObject {
    fn len(&self) -> u64 {
        self.length
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let (first, last) = (range.start / BLOCK_BYTES, (range.end - 1) / BLOCK_BYTES);
        if first == last {
            return self.block(first, &range, last);
        }
        let mut bytes = BytesMut::with_capacity((range.end - range.start) as usize);
        for number in first..=last {
            bytes.extend_from_slice(&self.block(number, &range, last)?);
        }
        Ok(bytes.freeze())
    }
}
