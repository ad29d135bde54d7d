//! stub
use crate::*; use arrow::record_batch::RecordBatch; use std::sync::Arc;
pub struct Store {}
impl Store {
    pub async fn open(_config: StoreConfig) -> Result<Arc<Self>, StoreError> { unimplemented!() }
    pub async fn append(&self, _batch: SignalBatch) -> Result<Position, StoreError> { unimplemented!() }
    pub fn snapshot(&self, _signal: Signal) -> Snapshot { unimplemented!() }
    pub async fn flush(&self) -> Result<(), StoreError> { unimplemented!() }
    pub fn subscribe(&self, _signal: Signal) -> tokio::sync::broadcast::Receiver<RecordBatch> { unimplemented!() }
    pub fn status(&self) -> StoreStatus { unimplemented!() }
    pub fn memory(&self) -> &MemoryBudget { unimplemented!() }
    pub async fn close(&self) -> Result<(), StoreError> { unimplemented!() }
}
