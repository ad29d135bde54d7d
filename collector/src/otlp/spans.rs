//! `ExportTraceServiceRequest`.

use super::logs::append_id;
use super::{DecodeError, Decoded, effective, value};
use crate::columns::{self, Attributes, Context, Dictionary, Numbers};
use crate::correlate::{Correlation, Found};
use crate::wire::{Fields, WireError};
use arrow::array::{ArrayRef, FixedSizeBinaryBuilder, Int64Array, StringBuilder, TimestampNanosecondArray};
use arrow::datatypes::{Int32Type, UInt32Type, UInt64Type};
use mangru_store::nested::{Link, SpanEvent};
use mangru_store::{Signal, SpanId, TraceId};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

struct Columns {
    rows: usize,
    times: Vec<i64>,
    original: Numbers<UInt64Type>,
    durations: Vec<i64>,
    trace_id: FixedSizeBinaryBuilder,
    span_id: FixedSizeBinaryBuilder,
    parent_span_id: FixedSizeBinaryBuilder,
    name: Dictionary,
    kind: Numbers<Int32Type>,
    status_code: Numbers<Int32Type>,
    status_message: StringBuilder,
    trace_state: StringBuilder,
    flags: Numbers<UInt32Type>,
    events: StringBuilder,
    dropped_events: Numbers<UInt32Type>,
    links: StringBuilder,
    dropped_links: Numbers<UInt32Type>,
    correlation_id: StringBuilder,
    attributes: Attributes,
    context: Context,
}

/// Decodes the request into a batch of spans. Spans without valid ids are refused alone.
pub(super) fn decode(message: &[u8], arrival: u64, correlation: &Correlation) -> Result<Decoded, DecodeError> {
    let mut spans = Columns {
        rows: 0,
        times: Vec::new(),
        original: Numbers::new(),
        durations: Vec::new(),
        trace_id: FixedSizeBinaryBuilder::new(16),
        span_id: FixedSizeBinaryBuilder::new(8),
        parent_span_id: FixedSizeBinaryBuilder::new(8),
        name: Dictionary::default(),
        kind: Numbers::new(),
        status_code: Numbers::new(),
        status_message: StringBuilder::new(),
        trace_state: StringBuilder::new(),
        flags: Numbers::new(),
        events: StringBuilder::new(),
        dropped_events: Numbers::new(),
        links: StringBuilder::new(),
        dropped_links: Numbers::new(),
        correlation_id: StringBuilder::new(),
        attributes: Attributes::new(),
        context: Context::new(),
    };
    let mut rejected = 0;
    let mut services: BTreeMap<String, u64> = BTreeMap::new();
    columns::each_message(message, 1, |resource| {
        let before = spans.rows;
        spans.context.enter_resource(resource)?;
        columns::each_message(resource, 2, |scope| {
            spans.context.enter_scope(scope)?;
            columns::each_message(scope, 2, |span| {
                let is_kept = spans.span(span, arrival, correlation)?;
                rejected += u64::from(!is_kept);
                Ok(())
            })
        })?;
        if spans.rows > before {
            *services.entry(spans.context.service_name.clone()).or_default() += (spans.rows - before) as u64;
        }
        Ok(())
    })?;
    let message = if rejected > 0 {
        format!("{rejected} spans refused: trace_id must be 16 bytes and span_id 8 bytes, not all zero")
    } else {
        String::new()
    };
    let batch = spans.finish().map_err(DecodeError::Columns)?;
    Ok(Decoded { batch, rejected, message, warnings: BTreeMap::new(), services })
}

/// The ids of a span, before anything of it is written.
fn ids(message: &[u8]) -> Result<Option<(TraceId, SpanId)>, WireError> {
    let (mut trace, mut span) = (None, None);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => trace = TraceId::from_bytes(value.message()?),
            2 => span = SpanId::from_bytes(value.message()?),
            _ => {}
        }
    }
    Ok(trace.zip(span))
}

impl Columns {
    /// Takes a span; `false` when its ids are not valid.
    fn span(&mut self, message: &[u8], arrival: u64, correlation: &Correlation) -> Result<bool, WireError> {
        let Some((trace_id, span_id)) = ids(message)? else { return Ok(false) };
        let row = self.rows;
        super::check_room(row)?;
        let (mut start, mut end, mut kind, mut dropped, mut flags) = (0, 0, 0, 0, 0);
        let (mut name, mut trace_state) = ("", "");
        let mut parent = None;
        let (mut status_code, mut status_message) = (0, "");
        let mut events: Vec<SpanEvent> = Vec::new();
        let mut links: Vec<Link> = Vec::new();
        let mut found = Found::default();
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                3 => trace_state = value.text()?,
                4 => parent = SpanId::from_bytes(value.message()?),
                5 => name = value.text()?,
                6 => kind = value.int32()?,
                7 => start = value.fixed64()?,
                8 => end = value.fixed64()?,
                9 => {
                    let attribute = self.attributes.add(row, value.message()?)?;
                    correlation.look(&attribute, &mut found);
                }
                10 => dropped = value.varint()? as u32,
                11 => events.push(event(value.message()?)?),
                12 => self.dropped_events.set(row, value.varint()? as u32),
                13 => links.push(link(value.message()?)?),
                14 => self.dropped_links.set(row, value.varint()? as u32),
                15 => {
                    let mut fields = Fields::new(value.message()?);
                    while let Some((number, value)) = fields.next()? {
                        match number {
                            2 => status_message = value.text()?,
                            3 => status_code = value.int32()?,
                            _ => {}
                        }
                    }
                }
                16 => flags = value.fixed32()?,
                _ => {}
            }
        }
        let (time, original) = effective(start, if end == 0 { arrival } else { end });
        self.times.push(time);
        if let Some(original) = original {
            self.original.set(row, original);
        }
        self.durations.push(end.wrapping_sub(start) as i64);
        append_id(&mut self.trace_id, Some(&trace_id.0));
        append_id(&mut self.span_id, Some(&span_id.0));
        append_id(&mut self.parent_span_id, parent.as_ref().map(|id| id.0.as_slice()));
        self.name.set(row, name);
        self.kind.set(row, kind);
        self.status_code.set(row, status_code);
        self.status_message.append_option(Some(status_message).filter(|text| !text.is_empty()));
        self.trace_state.append_option(Some(trace_state).filter(|text| !text.is_empty()));
        if flags != 0 {
            self.flags.set(row, flags);
        }
        self.events.append_option(json(&events));
        self.links.append_option(json(&links));
        self.correlation_id.append_option(found.correlation_id());
        self.attributes.end_row(row, dropped);
        self.context.row(row);
        self.rows += 1;
        Ok(true)
    }

    fn finish(self) -> Result<mangru_store::SignalBatch, String> {
        let Self { rows, mut trace_id, mut span_id, mut parent_span_id, .. } = self;
        let Self { mut status_message, mut trace_state, mut events, mut links, mut correlation_id, .. } = self;
        let mut columns: HashMap<&'static str, ArrayRef> = HashMap::new();
        columns.insert("time", Arc::new(TimestampNanosecondArray::from(self.times).with_timezone("UTC")));
        columns.insert("original_time_unix_nano", self.original.finish(rows));
        columns.insert("duration_ns", Arc::new(Int64Array::from(self.durations)));
        columns.insert("trace_id", Arc::new(trace_id.finish()));
        columns.insert("span_id", Arc::new(span_id.finish()));
        columns.insert("parent_span_id", Arc::new(parent_span_id.finish()));
        columns.insert("name", self.name.finish(rows));
        columns.insert("kind", self.kind.finish(rows));
        columns.insert("status_code", self.status_code.finish(rows));
        columns.insert("status_message", Arc::new(status_message.finish()));
        columns.insert("trace_state", Arc::new(trace_state.finish()));
        columns.insert("flags", self.flags.finish(rows));
        columns.insert("events", Arc::new(events.finish()));
        columns.insert("dropped_events_count", self.dropped_events.finish(rows));
        columns.insert("links", Arc::new(links.finish()));
        columns.insert("dropped_links_count", self.dropped_links.finish(rows));
        columns.insert("correlation_id", Arc::new(correlation_id.finish()));
        self.attributes.finish(rows, &mut columns)?;
        self.context.finish(rows, &mut columns);
        columns::batch(Signal::Spans, rows, columns)
    }
}

/// What hangs below a row as JSON; `None` when there is nothing.
pub(super) fn json<T: serde::Serialize>(items: &[T]) -> Option<String> {
    // These types hold text and numbers only: they always have a JSON form.
    (!items.is_empty()).then(|| serde_json::to_string(items).unwrap_or_default())
}

/// An id of any length in hex; empty stays empty.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn event(message: &[u8]) -> Result<SpanEvent, WireError> {
    let mut event = SpanEvent { time_unix_nano: "0".to_owned(), ..SpanEvent::default() };
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => event.time_unix_nano = value.fixed64()?.to_string(),
            2 => value.text()?.clone_into(&mut event.name),
            3 => event.attributes.push(value::key_value(value.message()?)?),
            4 => event.dropped_attributes_count = value.varint()? as u32,
            _ => {}
        }
    }
    Ok(event)
}

fn link(message: &[u8]) -> Result<Link, WireError> {
    let mut link = Link::default();
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => link.trace_id = hex(value.message()?),
            2 => link.span_id = hex(value.message()?),
            3 => value.text()?.clone_into(&mut link.trace_state),
            4 => link.attributes.push(value::key_value(value.message()?)?),
            5 => link.dropped_attributes_count = value.varint()? as u32,
            6 => link.flags = value.fixed32()?,
            _ => {}
        }
    }
    Ok(link)
}
