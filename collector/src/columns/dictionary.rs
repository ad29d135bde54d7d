//! Dictionary-encoded text.

use arrow::array::{ArrayRef, DictionaryArray, Int32Array, StringBuilder};
use arrow::datatypes::Int32Type;
use hashbrown::HashTable;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// A column of repeated text: each distinct value is kept once. NULLs cost nothing until the next value.
#[derive(Default)]
pub(crate) struct Dictionary {
    keys: Vec<Option<i32>>,
    bytes: String,
    ends: Vec<usize>,
    places: HashTable<(u64, i32)>,
    /// The value set last, which the next one often equals.
    last: Option<i32>,
}

impl Dictionary {
    pub(crate) fn value(&self, place: i32) -> &str {
        let place = place as usize;
        let start = if place == 0 { 0 } else { self.ends[place - 1] };
        &self.bytes[start..self.ends[place]]
    }

    /// The place of a value among the distinct ones.
    pub(crate) fn intern(&mut self, text: &str) -> i32 {
        if let Some(last) = self.last
            && self.value(last) == text
        {
            return last;
        }
        let hash = xxh3_64(text.as_bytes());
        let found = self
            .places
            .find(hash, |(other, place)| *other == hash && self.value(*place) == text)
            .map(|(_, place)| *place);
        let place = found.unwrap_or_else(|| {
            let place = self.ends.len() as i32;
            self.bytes.push_str(text);
            self.ends.push(self.bytes.len());
            self.places.insert_unique(hash, (hash, place), |(hash, _)| *hash);
            place
        });
        self.last = Some(place);
        place
    }

    /// Sets the value of a row.
    #[inline]
    pub(crate) fn set(&mut self, row: usize, text: &str) {
        let place = self.intern(text);
        self.set_place(row, place);
    }

    /// Sets a row to a value known by its place.
    #[inline]
    pub(crate) fn set_place(&mut self, row: usize, place: i32) {
        if self.keys.len() <= row {
            self.keys.resize(row + 1, None);
        }
        self.keys[row] = Some(place);
    }

    /// The column, NULL where nothing was set.
    pub(crate) fn finish(mut self, rows: usize) -> ArrayRef {
        self.keys.resize(rows, None);
        let mut values = StringBuilder::with_capacity(self.ends.len(), self.bytes.len());
        for place in 0..self.ends.len() {
            values.append_value(self.value(place as i32));
        }
        let keys: Int32Array = self.keys.into_iter().collect();
        // Keys are places of values by construction; an error would be a bug and gives an all-NULL column.
        match DictionaryArray::<Int32Type>::try_new(keys, Arc::new(values.finish())) {
            Ok(array) => Arc::new(array),
            Err(error) => {
                tracing::error!(%error, "dictionary column could not be built");
                arrow::array::new_null_array(&mangru_store::dictionary(), rows)
            }
        }
    }
}
