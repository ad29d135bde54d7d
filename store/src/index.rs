//! stub
use crate::*; use roaring::RoaringBitmap;
#[derive(Clone, Debug)]
pub struct Candidates { pub rows: RoaringBitmap, pub exact: bool }
pub struct PartIndex {}
impl PartIndex {
    pub fn word(&self, _word: &str) -> Result<Candidates, StoreError> { unimplemented!() }
    pub fn words_where(&self, _prefix: &str, _keep: &dyn Fn(&str) -> bool, _budget: usize) -> Result<Option<Candidates>, StoreError> { unimplemented!() }
    pub fn attribute(&self, _key: &str, _value: &str) -> Result<Candidates, StoreError> { unimplemented!() }
    pub fn attribute_where(&self, _key: &str, _prefix: &str, _keep: &dyn Fn(&str) -> bool, _budget: usize) -> Result<Option<Candidates>, StoreError> { unimplemented!() }
    pub fn column(&self, _column: &str, _value: &str) -> Result<Option<Candidates>, StoreError> { unimplemented!() }
    pub fn column_where(&self, _column: &str, _prefix: &str, _keep: &dyn Fn(&str) -> bool, _budget: usize) -> Result<Option<Candidates>, StoreError> { unimplemented!() }
    pub fn trace(&self, _id: TraceId) -> Result<Candidates, StoreError> { unimplemented!() }
    pub fn resource_where(&self, _keep: &dyn Fn(&str) -> bool) -> Result<Candidates, StoreError> { unimplemented!() }
    pub fn attribute_keys(&self) -> Result<Vec<(String, u64)>, StoreError> { unimplemented!() }
    pub fn attribute_values(&self, _key: &str, _prefix: &str, _budget: usize) -> Result<(Vec<(String, u64)>, bool), StoreError> { unimplemented!() }
    pub fn column_values(&self, _column: &str, _prefix: &str, _budget: usize) -> Result<Option<(Vec<(String, u64)>, bool)>, StoreError> { unimplemented!() }
    pub fn resources(&self) -> Result<Vec<(String, u64)>, StoreError> { unimplemented!() }
}
