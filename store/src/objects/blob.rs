//! The bytes of a part file, wherever they are, as Parquet's and tantivy's readers want them.

use crate::files::RandomRead;
use bytes::{Buf as _, Bytes};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use std::io::{self, BufReader};
use std::ops::Range;
use std::sync::Arc;
use tantivy::HasLen;
use tantivy::directory::{FileHandle, OwnedBytes};

/// Bytes that small reads take at once.
const READ_AHEAD: usize = 32 << 10;

/// A run of immutable bytes. Reading may block.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    source: Source,
    range: Range<u64>,
}

#[derive(Clone, Debug)]
enum Source {
    /// In memory, or mapped.
    Memory(Bytes),
    /// Elsewhere: each read copies its range.
    Elsewhere(Arc<dyn RandomRead>),
}

impl Blob {
    /// Bytes in memory.
    pub(crate) fn memory(bytes: Bytes) -> Self {
        let range = 0..bytes.len() as u64;
        Self { source: Source::Memory(bytes), range }
    }

    /// Bytes that are read when they are asked for.
    pub(crate) fn elsewhere(source: Arc<dyn RandomRead>) -> Self {
        let range = 0..source.len();
        Self { source: Source::Elsewhere(source), range }
    }

    /// How many bytes there are.
    pub(crate) const fn length(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// A piece; `None` when it does not lie inside.
    pub(crate) fn slice(&self, offset: u64, length: u64) -> Option<Self> {
        let start = self.range.start.checked_add(offset)?;
        let end = start.checked_add(length).filter(|end| *end <= self.range.end)?;
        Some(Self { source: self.source.clone(), range: start..end })
    }

    /// The bytes of a range.
    pub(crate) fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let piece = range.end.checked_sub(range.start).and_then(|length| self.slice(range.start, length));
        let outside = || io::Error::new(io::ErrorKind::UnexpectedEof, "read beyond the end of the bytes");
        let Self { source, range } = piece.ok_or_else(outside)?;
        match source {
            Source::Memory(bytes) => Ok(bytes.slice(range.start as usize..range.end as usize)),
            Source::Elsewhere(source) => source.read(range),
        }
    }

    /// All bytes, copied unless they are in memory.
    pub(crate) fn read_all(&self) -> io::Result<Bytes> {
        self.read(0..self.length())
    }
}

impl Length for Blob {
    fn len(&self) -> u64 {
        self.length()
    }
}

impl ChunkReader for Blob {
    type T = BlobReader;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        let length = self.length().saturating_sub(start);
        let rest = self.slice(start, length).ok_or_else(|| ParquetError::EOF("read beyond the end".to_owned()))?;
        Ok(match &rest.source {
            Source::Memory(_) => BlobReader::Memory(rest.read_all()?.reader()),
            Source::Elsewhere(_) => {
                BlobReader::Elsewhere(BufReader::with_capacity(READ_AHEAD, Pieces { blob: rest, at: 0 }))
            }
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        Ok(self.read(start..start.saturating_add(length as u64))?)
    }
}

/// Reads a [`Blob`] from some place to its end.
pub(crate) enum BlobReader {
    Memory(bytes::buf::Reader<Bytes>),
    Elsewhere(BufReader<Pieces>),
}

impl io::Read for BlobReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Memory(reader) => reader.read(out),
            Self::Elsewhere(reader) => reader.read(out),
        }
    }
}

/// The bytes of a [`Blob`] one piece after the other.
pub(crate) struct Pieces {
    blob: Blob,
    at: u64,
}

impl io::Read for Pieces {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let end = self.blob.length().min(self.at + out.len() as u64);
        let bytes = self.blob.read(self.at..end)?;
        out[..bytes.len()].copy_from_slice(&bytes);
        self.at = end;
        Ok(bytes.len())
    }
}

impl HasLen for Blob {
    fn len(&self) -> usize {
        self.length() as usize
    }
}

impl FileHandle for Blob {
    fn read_bytes(&self, range: Range<usize>) -> io::Result<OwnedBytes> {
        // What was read from elsewhere is not copied once more.
        Ok(OwnedBytes::new(Vec::from(self.read(range.start as u64..range.end as u64)?)))
    }
}
