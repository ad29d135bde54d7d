//! The services that the store knows, remembered for a moment: for what must be the same on every screen, as their colours.

use crate::QueryService;
use crate::scan::blocking;
use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::Int32Type;
use mangru_store::Signal;
use mangru_store::value::read_object;
use parking_lot::RwLock;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an answer is good.
const KEPT: Duration = Duration::from_secs(10);
/// Parts of each signal that are looked at, the newest first.
const PARTS: usize = 64;
/// Names that are known at most: senders choose them.
const MAX_NAMES: usize = 2_000;

type Answer = (Instant, Arc<BTreeSet<String>>);

/// The last answer, and what parts say.
#[derive(Debug, Default)]
pub(crate) struct KnownServices {
    last: RwLock<Option<Answer>>,
    /// Names by the part they are in: parts never change.
    of_parts: tokio::sync::Mutex<HashMap<String, Arc<[String]>>>,
}

impl QueryService {
    /// The names of services in what is not sealed yet and in the newest parts of logs and spans; up to ten seconds old.
    pub async fn known_services(&self) -> Arc<BTreeSet<String>> {
        let last = self.known().last.read().clone();
        let old = match last {
            Some((at, names)) if at.elapsed() < KEPT => return names,
            Some((_, names)) => Some(names),
            None => None,
        };
        let mut of_parts = match (self.known().of_parts.try_lock(), old) {
            (Ok(of_parts), _) => of_parts,
            // Somebody looks already.
            (Err(_), Some(old)) => return old,
            (Err(_), None) => self.known().of_parts.lock().await,
        };
        let names = Arc::new(self.names_now(&mut of_parts).await);
        *self.known().last.write() = Some((Instant::now(), Arc::clone(&names)));
        names
    }

    async fn names_now(&self, of_parts: &mut HashMap<String, Arc<[String]>>) -> BTreeSet<String> {
        let (mut names, mut remembered) = (BTreeSet::new(), HashMap::new());
        for signal in [Signal::Spans, Signal::Logs] {
            let snapshot = self.store().snapshot(signal);
            snapshot.hot.iter().for_each(|batch| add_names(&mut names, batch));
            for part in snapshot.parts.iter().take(PARTS) {
                let path = part.path().to_owned();
                let found = match of_parts.remove(&path) {
                    Some(found) => found,
                    None => match part.index().await {
                        Ok(Some(index)) => {
                            let resources = blocking(move || Ok(index.resources()?)).await.unwrap_or_default();
                            resources.iter().filter_map(|(resource, _)| service_of(resource)).collect()
                        }
                        // A part whose index cannot be read is told of where it is searched.
                        _ => continue,
                    },
                };
                names.extend(found.iter().cloned());
                remembered.insert(path, found);
            }
        }
        *of_parts = remembered;
        while names.len() > MAX_NAMES {
            names.pop_last();
        }
        names
    }
}

/// The name in a resource's attributes.
fn service_of(resource: &str) -> Option<String> {
    let (_, name) = read_object(resource).into_iter().find(|(key, _)| key == "service.name")?;
    Some(name.text()).filter(|name| !name.is_empty())
}

/// The names in a batch that is not sealed.
fn add_names(names: &mut BTreeSet<String>, batch: &RecordBatch) {
    let column = batch.column_by_name("service_name").and_then(|column| column.as_dictionary_opt::<Int32Type>());
    let Some(values) = column.and_then(|column| column.values().as_string_opt::<i32>()) else { return };
    for name in (0..values.len()).filter(|place| values.is_valid(*place)).map(|place| values.value(place)) {
        if !name.is_empty() && !names.contains(name) {
            names.insert(name.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_tells_its_service() {
        assert_eq!(service_of(r#"{"host.name":"a","service.name":"cart"}"#).as_deref(), Some("cart"));
        assert_eq!(service_of(r#"{"service.name":""}"#), None);
        assert_eq!(service_of("not an object"), None);
    }
}
