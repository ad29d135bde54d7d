//! `ExportLogsServiceRequest`.

use super::value::{self, Attribute};
use super::{DecodeError, Decoded, effective};
use crate::columns::{self, Attributes, Context, Dictionary, Numbers};
use crate::correlate::{Correlation, Found};
use crate::wire::{Fields, WireError};
use arrow::array::{ArrayRef, FixedSizeBinaryBuilder, StringBuilder, TimestampNanosecondArray};
use arrow::datatypes::{Int32Type, Int64Type, UInt32Type, UInt64Type};
use mangru_store::{Signal, SpanId, TraceId, lifted};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

struct Columns {
    rows: usize,
    times: Vec<i64>,
    original: Numbers<UInt64Type>,
    observed_delay: Numbers<Int64Type>,
    severity: Numbers<Int32Type>,
    severity_text: Dictionary,
    body: StringBuilder,
    body_type: Dictionary,
    event_name: Dictionary,
    trace_id: FixedSizeBinaryBuilder,
    span_id: FixedSizeBinaryBuilder,
    flags: Numbers<UInt32Type>,
    correlation_id: StringBuilder,
    lifted: Dictionary,
    attributes: Attributes,
    context: Context,
    scratch: String,
}

/// Decodes the request into a batch of logs.
pub(super) fn decode(message: &[u8], arrival: u64, correlation: &Correlation) -> Result<Decoded, DecodeError> {
    let mut logs = Columns {
        rows: 0,
        times: Vec::new(),
        original: Numbers::new(),
        observed_delay: Numbers::new(),
        severity: Numbers::new(),
        severity_text: Dictionary::default(),
        body: StringBuilder::new(),
        body_type: Dictionary::default(),
        event_name: Dictionary::default(),
        trace_id: FixedSizeBinaryBuilder::new(16),
        span_id: FixedSizeBinaryBuilder::new(8),
        flags: Numbers::new(),
        correlation_id: StringBuilder::new(),
        lifted: Dictionary::default(),
        attributes: Attributes::new(),
        context: Context::new(),
        scratch: String::new(),
    };
    let mut warnings = BTreeMap::new();
    let mut services: BTreeMap<String, u64> = BTreeMap::new();
    columns::each_message(message, 1, |resource| {
        let before = logs.rows;
        logs.context.enter_resource(resource)?;
        columns::each_message(resource, 2, |scope| {
            logs.context.enter_scope(scope)?;
            columns::each_message(scope, 2, |record| logs.record(record, arrival, correlation, &mut warnings))
        })?;
        if logs.rows > before {
            *services.entry(logs.context.service_name.clone()).or_default() += (logs.rows - before) as u64;
        }
        Ok(())
    })?;
    let batch = logs.finish().map_err(DecodeError::Columns)?;
    Ok(Decoded { batch, rejected: 0, message: String::new(), warnings, services })
}

impl Columns {
    fn record(
        &mut self,
        message: &[u8],
        arrival: u64,
        correlation: &Correlation,
        warnings: &mut BTreeMap<&'static str, u64>,
    ) -> Result<(), WireError> {
        let row = self.rows;
        super::check_room(row)?;
        let (mut time, mut observed, mut severity, mut dropped, mut flags) = (0, 0, 0, 0, 0);
        let (mut severity_text, mut event_name) = ("", "");
        let (mut trace, mut span): (&[u8], &[u8]) = (&[], &[]);
        let mut body: Option<&[u8]> = None;
        let mut found = Found::default();
        let mut fields = Fields::new(message);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => time = value.fixed64()?,
                2 => severity = value.int32()?,
                3 => severity_text = value.text()?,
                5 => body = Some(value.message()?),
                6 => {
                    let attribute: Attribute<'_> = self.attributes.add(row, value.message()?)?;
                    correlation.look(&attribute, &mut found);
                }
                7 => dropped = value.varint()? as u32,
                8 => flags = value.fixed32()?,
                9 => trace = value.message()?,
                10 => span = value.message()?,
                11 => observed = value.fixed64()?,
                12 => event_name = value.text()?,
                _ => {}
            }
        }
        let body_text = self.write_body(row, body)?;
        if let Some(text) = &body_text {
            correlation.look_into_body(text, &mut found);
        }
        let (effective, original) = effective(time, if observed == 0 { arrival } else { observed });
        self.times.push(effective);
        if let Some(original) = original {
            self.original.set(row, original);
        }
        if observed != 0 {
            self.observed_delay.set(row, observed.wrapping_sub(effective as u64) as i64);
        }
        let mut letters = String::new();
        let own_trace = TraceId::from_bytes(trace);
        let own_span = SpanId::from_bytes(span);
        for (name, bytes, is_valid) in
            [("invalid_trace_id", trace, own_trace.is_some()), ("invalid_span_id", span, own_span.is_some())]
        {
            if !is_valid && !bytes.is_empty() {
                *warnings.entry(name).or_default() += 1;
            }
        }
        // Ids found elsewhere stand in for the record's own only where it has none.
        let trace_id = own_trace.or_else(|| found.trace_id.inspect(|_| letters.push(lifted::TRACE_ID)));
        let span_id = own_span
            .or_else(|| found.span_id.filter(|_| own_trace.is_none()).inspect(|_| letters.push(lifted::SPAN_ID)));
        if severity == 0
            && severity_text.is_empty()
            && let Some(number) = found.severity
        {
            severity = number;
            letters.push(lifted::SEVERITY);
        }
        self.severity.set(row, severity);
        if !severity_text.is_empty() {
            self.severity_text.set(row, severity_text);
        }
        if !event_name.is_empty() {
            self.event_name.set(row, event_name);
        }
        append_id(&mut self.trace_id, trace_id.as_ref().map(|id| id.0.as_slice()));
        append_id(&mut self.span_id, span_id.as_ref().map(|id| id.0.as_slice()));
        if flags != 0 {
            self.flags.set(row, flags);
        }
        self.correlation_id.append_option(found.correlation_id());
        if !letters.is_empty() {
            self.lifted.set(row, &letters);
        }
        self.attributes.end_row(row, dropped);
        self.context.row(row);
        self.rows += 1;
        Ok(())
    }

    /// Writes the body and gives its text where ids may be looked for in it.
    fn write_body<'a>(
        &mut self,
        row: usize,
        body: Option<&'a [u8]>,
    ) -> Result<Option<std::borrow::Cow<'a, str>>, WireError> {
        let Some(body) = body else {
            self.body.append_null();
            return Ok(None);
        };
        let mut fields = Fields::new(body);
        if let Some((1, value)) = fields.next()?
            && fields.next()?.is_none()
        {
            let text = value.text()?;
            self.body.append_value(text);
            return Ok(Some(text.into()));
        }
        let any = value::any_value(body)?;
        self.scratch.clear();
        any.write_json(&mut self.scratch);
        self.body.append_value(&self.scratch);
        let mut letter = [0; 4];
        self.body_type.set(row, any.kind().letter().encode_utf8(&mut letter));
        Ok(Some(self.scratch.clone().into()))
    }

    fn finish(self) -> Result<mangru_store::SignalBatch, String> {
        let Self { rows, mut body, mut trace_id, mut span_id, mut correlation_id, .. } = self;
        let mut columns: HashMap<&'static str, ArrayRef> = HashMap::new();
        columns.insert("time", Arc::new(TimestampNanosecondArray::from(self.times).with_timezone("UTC")));
        columns.insert("original_time_unix_nano", self.original.finish(rows));
        columns.insert("observed_delay_ns", self.observed_delay.finish(rows));
        columns.insert("severity_number", self.severity.finish(rows));
        columns.insert("severity_text", self.severity_text.finish(rows));
        columns.insert("body", Arc::new(body.finish()));
        columns.insert("body_type", self.body_type.finish(rows));
        columns.insert("event_name", self.event_name.finish(rows));
        columns.insert("trace_id", Arc::new(trace_id.finish()));
        columns.insert("span_id", Arc::new(span_id.finish()));
        columns.insert("flags", self.flags.finish(rows));
        columns.insert("correlation_id", Arc::new(correlation_id.finish()));
        columns.insert("lifted", self.lifted.finish(rows));
        self.attributes.finish(rows, &mut columns)?;
        self.context.finish(rows, &mut columns);
        columns::batch(Signal::Logs, rows, columns)
    }
}

/// Appends an id or NULL.
pub(super) fn append_id(column: &mut FixedSizeBinaryBuilder, id: Option<&[u8]>) {
    match id {
        // The types of ids have the column's length.
        Some(id) if column.append_value(id).is_ok() => {}
        _ => column.append_null(),
    }
}
