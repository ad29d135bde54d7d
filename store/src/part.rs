//! stub
use crate::*; use arrow::datatypes::SchemaRef; use arrow::record_batch::RecordBatch; use roaring::RoaringBitmap; use std::sync::Arc;
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartId(pub ulid::Ulid);
pub struct Part {}
pub struct PartReader {}
impl Part {
    pub fn id(&self) -> PartId { unimplemented!() }
    pub fn signal(&self) -> Signal { unimplemented!() }
    pub fn rows(&self) -> u32 { unimplemented!() }
    pub fn bytes(&self) -> u64 { unimplemented!() }
    pub fn min_time(&self) -> i64 { unimplemented!() }
    pub fn max_time(&self) -> i64 { unimplemented!() }
    pub fn path(&self) -> &str { unimplemented!() }
    pub async fn index(&self) -> Result<Option<Arc<PartIndex>>, StoreError> { unimplemented!() }
    pub async fn rows_in(&self, _range: TimeRange) -> Result<RoaringBitmap, StoreError> { unimplemented!() }
    pub async fn rows_that_may_hold(&self, _column: &str, _bytes: &[u8]) -> Result<RoaringBitmap, StoreError> { unimplemented!() }
    pub async fn read(&self, _columns: &[&str], _rows: Option<&RoaringBitmap>) -> Result<PartReader, StoreError> { unimplemented!() }
}
impl PartReader { pub fn schema(&self) -> SchemaRef { unimplemented!() } }
impl Iterator for PartReader { type Item = Result<RecordBatch, StoreError>; fn next(&mut self) -> Option<Self::Item> { unimplemented!() } }
