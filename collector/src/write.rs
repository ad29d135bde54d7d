//! Writing OTLP messages: what other protocols bring is put into OTLP's form and decoded by the same code.

use crate::export::put_varint;
use mangru_store::value::MAX_DEPTH;
use serde_json::Value as Json;

/// A message that is being written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Message(pub(crate) Vec<u8>);

impl Message {
    fn tag(&mut self, field: u32, wire_type: u8) {
        put_varint(u64::from(field) << 3 | u64::from(wire_type), &mut self.0);
    }

    /// Bytes, text or an embedded message.
    pub(crate) fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.tag(field, 2);
        put_varint(bytes.len() as u64, &mut self.0);
        self.0.extend_from_slice(bytes);
    }

    /// Text that is left out when it is empty.
    pub(crate) fn text(&mut self, field: u32, text: &str) {
        if !text.is_empty() {
            self.bytes(field, text.as_bytes());
        }
    }

    /// An embedded message.
    pub(crate) fn message(&mut self, field: u32, message: &Self) {
        self.bytes(field, &message.0);
    }

    /// A varint.
    pub(crate) fn varint(&mut self, field: u32, value: u64) {
        self.tag(field, 0);
        put_varint(value, &mut self.0);
    }

    /// Eight bytes.
    pub(crate) fn fixed64(&mut self, field: u32, value: u64) {
        self.tag(field, 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A `KeyValue` with text.
    pub(crate) fn attribute(&mut self, field: u32, key: &str, value: &str) {
        let mut any = Self::default();
        any.bytes(1, value.as_bytes());
        self.key_value(field, key, &any);
    }

    /// A `KeyValue` with a value of JSON.
    pub(crate) fn json_attribute(&mut self, field: u32, key: &str, value: &Json) -> Result<(), String> {
        let any = any_value(value)?;
        self.key_value(field, key, &any);
        Ok(())
    }

    fn key_value(&mut self, field: u32, key: &str, any: &Self) {
        let mut entry = Self::default();
        entry.text(1, key);
        entry.message(2, any);
        self.message(field, &entry);
    }
}

/// A value of JSON as an `AnyValue`.
///
/// # Errors
/// When it nests deeper than values may.
pub(crate) fn any_value(value: &Json) -> Result<Message, String> {
    nested(value, 0)
}

fn nested(value: &Json, depth: usize) -> Result<Message, String> {
    if depth > MAX_DEPTH {
        return Err(format!("a value nests deeper than {MAX_DEPTH}"));
    }
    let mut any = Message::default();
    match value {
        Json::Null => {}
        Json::Bool(flag) => any.varint(2, u64::from(*flag)),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => any.varint(3, integer as u64),
            // Beyond 64 bits with sign a number is a double, as in JavaScript.
            None => any.fixed64(4, number.as_f64().unwrap_or(f64::NAN).to_bits()),
        },
        Json::String(text) => any.bytes(1, text.as_bytes()),
        Json::Array(items) => {
            let mut list = Message::default();
            for item in items {
                list.message(1, &nested(item, depth + 1)?);
            }
            any.message(5, &list);
        }
        Json::Object(members) => {
            let mut list = Message::default();
            for (key, member) in members {
                let value = nested(member, depth + 1)?;
                list.key_value(1, key, &value);
            }
            any.message(6, &list);
        }
    }
    Ok(any)
}

/// A request that is being written: records below their resources, each resource once.
#[derive(Debug)]
pub(crate) struct Request {
    scope: &'static str,
    resources: Vec<(Message, Message)>,
    places: hashbrown::HashMap<Message, usize>,
    pub(crate) records: usize,
}

impl Request {
    /// A request whose records have this instrumentation scope.
    pub(crate) fn new(scope: &'static str) -> Self {
        Self { scope, resources: Vec::new(), places: hashbrown::HashMap::new(), records: 0 }
    }

    /// Adds a log record or a span below a resource, which is a message of attributes.
    pub(crate) fn add(&mut self, resource: &Message, record: &Message) {
        let place = match self.places.get(resource) {
            Some(place) => *place,
            None => {
                let mut records = Message::default();
                let mut scope = Message::default();
                scope.text(1, self.scope);
                records.message(1, &scope);
                self.resources.push((resource.clone(), records));
                self.places.insert(resource.clone(), self.resources.len() - 1);
                self.resources.len() - 1
            }
        };
        self.resources[place].1.message(2, record);
        self.records += 1;
    }

    /// The whole as an export request.
    pub(crate) fn finish(self) -> Vec<u8> {
        let mut request = Message::default();
        for (resource, records) in self.resources {
            let mut group = Message::default();
            group.message(1, &resource);
            group.message(2, &records);
            request.message(1, &group);
        }
        request.0
    }
}
