//! What all records below a resource and a scope share: kept as runs of rows, written once.

use super::{Dictionary, Numbers};
use crate::otlp::value;
use crate::wire::{Fields, Wire, WireError};
use arrow::array::ArrayRef;
use arrow::datatypes::UInt32Type;
use mangru_store::value::{AnyValue, write_object};
use mangru_store::{PROMOTED_RESOURCE, UNKNOWN_SERVICE};
use std::collections::HashMap;

/// A text column that changes with the resource or scope only.
#[derive(Default)]
struct Runs {
    column: Dictionary,
    current: Option<i32>,
}

impl Runs {
    fn begin(&mut self, value: Option<&str>) {
        self.current = value.map(|value| self.column.intern(value));
    }

    #[inline]
    fn row(&mut self, row: usize) {
        if let Some(place) = self.current {
            self.column.set_place(row, place);
        }
    }
}

/// The columns of resource and scope.
pub(crate) struct Context {
    promoted: Vec<Runs>,
    resource: Runs,
    resource_dropped: Numbers<UInt32Type>,
    resource_dropped_now: u32,
    resource_schema_url: Runs,
    scope_name: Runs,
    scope_version: Runs,
    scope_attributes: Runs,
    scope_dropped: Numbers<UInt32Type>,
    scope_dropped_now: u32,
    scope_schema_url: Runs,
    /// The resource as JSON, for the series of metrics.
    pub(crate) resource_json: String,
    /// The scope as text, for the series of metrics.
    pub(crate) scope_text: String,
    /// `service.name`, or what stands for it.
    pub(crate) service_name: String,
}

impl Context {
    pub(crate) fn new() -> Self {
        Self {
            promoted: PROMOTED_RESOURCE.iter().map(|_| Runs::default()).collect(),
            resource: Runs::default(),
            resource_dropped: Numbers::new(),
            resource_dropped_now: 0,
            resource_schema_url: Runs::default(),
            scope_name: Runs::default(),
            scope_version: Runs::default(),
            scope_attributes: Runs::default(),
            scope_dropped: Numbers::new(),
            scope_dropped_now: 0,
            scope_schema_url: Runs::default(),
            resource_json: String::new(),
            scope_text: String::new(),
            service_name: String::new(),
        }
    }

    /// Enters a `ResourceLogs`, `ResourceSpans` or `ResourceMetrics`: field 1 is the resource, field 3 the schema URL.
    pub(crate) fn enter_resource(&mut self, message: &[u8]) -> Result<(), WireError> {
        let mut attributes: Vec<(String, AnyValue)> = Vec::new();
        let mut schema_url = None;
        self.resource_dropped_now = 0;
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => {
                    let mut resource = Fields::new(value.message()?);
                    while let Some((number, value)) = resource.next()? {
                        match number {
                            1 => attributes.push(value::key_value(value.message()?)?),
                            2 => self.resource_dropped_now = value.varint()? as u32,
                            _ => {}
                        }
                    }
                }
                3 => schema_url = Some(value.text()?).filter(|url| !url.is_empty()),
                _ => {}
            }
        }
        self.resource_json.clear();
        write_object(&attributes, &mut self.resource_json);
        self.resource.begin(Some(&self.resource_json));
        self.resource_schema_url.begin(schema_url);
        for (promoted, runs) in PROMOTED_RESOURCE.iter().zip(&mut self.promoted) {
            let text = attributes.iter().find_map(|(key, value)| match value {
                AnyValue::String(text) if key == promoted.key => Some(text.as_str()),
                _ => None,
            });
            if promoted.key == "service.name" {
                let name = text.filter(|name| !name.is_empty()).unwrap_or(UNKNOWN_SERVICE);
                name.clone_into(&mut self.service_name);
                runs.begin(Some(name));
            } else {
                runs.begin(text);
            }
        }
        Ok(())
    }

    /// Enters a `ScopeLogs`, `ScopeSpans` or `ScopeMetrics`: field 1 is the scope, field 3 the schema URL.
    pub(crate) fn enter_scope(&mut self, message: &[u8]) -> Result<(), WireError> {
        let (mut name, mut version, mut schema_url) = (None, None, None);
        let mut attributes: Vec<(String, AnyValue)> = Vec::new();
        self.scope_dropped_now = 0;
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => {
                    let mut scope = Fields::new(value.message()?);
                    while let Some((number, value)) = scope.next()? {
                        match number {
                            1 => name = Some(value.text()?).filter(|name| !name.is_empty()),
                            2 => version = Some(value.text()?).filter(|version| !version.is_empty()),
                            3 => attributes.push(value::key_value(value.message()?)?),
                            4 => self.scope_dropped_now = value.varint()? as u32,
                            _ => {}
                        }
                    }
                }
                3 => schema_url = Some(value.text()?).filter(|url| !url.is_empty()),
                _ => {}
            }
        }
        let json = (!attributes.is_empty()).then(|| {
            let mut json = String::new();
            write_object(&attributes, &mut json);
            json
        });
        self.scope_text = [name, version, schema_url, json.as_deref()].map(Option::unwrap_or_default).join("\u{0}");
        self.scope_name.begin(name);
        self.scope_version.begin(version);
        self.scope_attributes.begin(json.as_deref());
        self.scope_schema_url.begin(schema_url);
        Ok(())
    }

    /// Gives a row the resource and scope that were entered last.
    #[inline]
    pub(crate) fn row(&mut self, row: usize) {
        for runs in &mut self.promoted {
            runs.row(row);
        }
        self.resource.row(row);
        self.resource_schema_url.row(row);
        self.scope_name.row(row);
        self.scope_version.row(row);
        self.scope_attributes.row(row);
        self.scope_schema_url.row(row);
        if self.resource_dropped_now > 0 {
            self.resource_dropped.set(row, self.resource_dropped_now);
        }
        if self.scope_dropped_now > 0 {
            self.scope_dropped.set(row, self.scope_dropped_now);
        }
    }

    /// The columns.
    pub(crate) fn finish(self, rows: usize, columns: &mut HashMap<&'static str, ArrayRef>) {
        for (promoted, runs) in PROMOTED_RESOURCE.iter().zip(self.promoted) {
            columns.insert(promoted.column, runs.column.finish(rows));
        }
        columns.insert("resource_attributes", self.resource.column.finish(rows));
        columns.insert("resource_dropped_attributes_count", self.resource_dropped.finish(rows));
        columns.insert("resource_schema_url", self.resource_schema_url.column.finish(rows));
        columns.insert("scope_name", self.scope_name.column.finish(rows));
        columns.insert("scope_version", self.scope_version.column.finish(rows));
        columns.insert("scope_attributes", self.scope_attributes.column.finish(rows));
        columns.insert("scope_dropped_attributes_count", self.scope_dropped.finish(rows));
        columns.insert("scope_schema_url", self.scope_schema_url.column.finish(rows));
    }
}

/// Walks the messages of one repeated field.
pub(crate) fn each_message<'a>(
    message: &'a [u8],
    wanted: u32,
    mut each: impl FnMut(&'a [u8]) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        if number == wanted {
            match value {
                Wire::Bytes(bytes) => each(bytes)?,
                _ => return Err(WireError("a message field has another wire type")),
            }
        }
    }
    Ok(())
}
