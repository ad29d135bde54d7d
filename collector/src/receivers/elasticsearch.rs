//! Elasticsearch's bulk API and what shippers ask before they use it
//! (<https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk>).
//!
//! Records are only ever added: `index` and `create` keep a document as a log, `update` and `delete` are refused one by one. A
//! document's `_id` is kept as an attribute and identifies nothing.

use super::documents::{self, Fields};
use crate::correlate::Correlation;
use crate::otlp::{self, DecodeError, Decoded, check_room};
use crate::write::Request;
use mangru_store::{ELASTIC_ID, ELASTIC_INDEX, Signal};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

/// What became of an action.
#[derive(Debug)]
pub(super) struct Item {
    action: &'static str,
    index: String,
    id: String,
    /// Why it was refused: status, type and reason.
    refused: Option<(u16, &'static str, String)>,
}

impl Item {
    /// As the bulk API answers it.
    pub(super) fn json(&self) -> Json {
        let mut item = json!({ "_index": self.index, "_id": self.id });
        match &self.refused {
            None => {
                item["_version"] = 1.into();
                item["result"] = "created".into();
                item["_shards"] = json!({ "total": 1, "successful": 1, "failed": 0 });
                item["status"] = 201.into();
            }
            Some((status, kind, reason)) => {
                item["status"] = (*status).into();
                item["error"] = json!({ "type": kind, "reason": reason });
            }
        }
        json!({ self.action: item })
    }

    pub(super) const fn is_refused(&self) -> bool {
        self.refused.is_some()
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Target {
    #[serde(rename = "_index")]
    index: Option<String>,
    #[serde(rename = "_id")]
    id: Option<Json>,
}

/// The line before a document.
fn action(line: &[u8], number: usize) -> Result<(&'static str, Target), DecodeError> {
    let refused = |why: String| DecodeError::Request(format!("Malformed action/metadata line [{number}], {why}"));
    let members: Map<String, Json> =
        serde_json::from_slice(line).map_err(|error| refused(format!("expected an object: {error}")))?;
    let Some((name, target)) = members.into_iter().next() else {
        return Err(refused("expected FIELD_NAME but found [END_OBJECT]".to_owned()));
    };
    let action = ["index", "create", "update", "delete"]
        .into_iter()
        .find(|known| **known == *name)
        .ok_or_else(|| refused(format!("expected field [create], [delete], [index] or [update] but found [{name}]")))?;
    let target = serde_json::from_value(target).map_err(|error| refused(error.to_string()))?;
    Ok((action, target))
}

/// Decodes a bulk request: the rows, and what became of each action in its order.
pub(super) fn decode_bulk(
    text: &[u8],
    default_index: Option<&str>,
    arrival: u64,
    correlation: &Correlation,
) -> Result<(Decoded, Vec<Item>), DecodeError> {
    let mut lines = text.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.trim_ascii().is_empty());
    let mut request = Request::new("");
    let mut items = Vec::new();
    let fields = Fields::default();
    while let Some((number, line)) = lines.next() {
        let (action, target) = action(line, number + 1)?;
        let index = target.index.or_else(|| default_index.map(str::to_owned));
        let own_id = target.id.as_ref().map(|id| id.as_str().map_or_else(|| id.to_string(), str::to_owned));
        let mut item = Item {
            action,
            index: index.clone().unwrap_or_default(),
            id: own_id.clone().unwrap_or_else(|| format!("{arrival:x}-{}", items.len())),
            refused: None,
        };
        if action == "delete" {
            item.refused = Some((400, "illegal_argument_exception", "records cannot be deleted one by one".to_owned()));
            items.push(item);
            continue;
        }
        let Some((place, line)) = lines.next() else {
            return Err(DecodeError::Request(format!(
                "the document of the action in line [{}] is missing",
                number + 1
            )));
        };
        check_room(request.records)?;
        item.refused = match (action, index) {
            ("update", _) => {
                Some((400, "illegal_argument_exception", "records cannot be changed: use index or create".to_owned()))
            }
            (_, None) => Some((400, "action_request_validation_exception", "index is missing".to_owned())),
            (_, Some(index)) => {
                let read = serde_json::from_slice::<Map<String, Json>>(line)
                    .map_err(|error| format!("failed to parse line [{}]: {error}", place + 1))
                    .and_then(|members| documents::read(&members, &fields, &[(ELASTIC_INDEX, &index)]));
                match read {
                    Ok(mut document) => {
                        if let Some(id) = &own_id {
                            document.record.attribute(6, ELASTIC_ID, id);
                        }
                        request.add(&document.resource, &document.record);
                        None
                    }
                    Err(why) => Some((400, "document_parsing_exception", why)),
                }
            }
        };
        items.push(item);
    }
    if items.is_empty() {
        return Err(DecodeError::Request("request body is required".to_owned()));
    }
    let mut decoded = otlp::decode(Signal::Logs, &request.finish(), arrival, correlation)?;
    decoded.rejected = items.iter().filter(|item| item.is_refused()).count() as u64;
    Ok((decoded, items))
}
