//! The messages of both versions (`prometheus/prompb`, `io.prometheus.write.v2`), walked without a copy.

use super::Version;
use super::histogram::Histogram;
use crate::wire::{Fields, WireError};

/// Labels by name and value.
type Labels<'a> = Vec<(&'a str, &'a str)>;

/// A series with its samples; times are milliseconds.
#[derive(Debug, Default)]
pub(super) struct Series<'a> {
    pub(super) labels: Labels<'a>,
    pub(super) samples: Vec<(i64, f64)>,
    pub(super) histograms: Vec<Histogram>,
    pub(super) exemplars: Vec<Exemplar<'a>>,
    /// Type, help and unit, which version 2 has in each series.
    pub(super) metadata: Option<(u64, &'a str, &'a str)>,
    /// When its counter began; 0 when that is not known.
    pub(super) start: i64,
}

/// An exemplar.
#[derive(Debug, Default)]
pub(super) struct Exemplar<'a> {
    pub(super) labels: Labels<'a>,
    pub(super) value: f64,
    pub(super) time: i64,
}

/// What a request is made of.
pub(super) enum Written<'a> {
    Series(Series<'a>),
    Metadata { family: &'a str, kind: u64, help: &'a str, unit: &'a str },
}

/// Calls `each` with every series and what is said of metrics, numbered by their places.
pub(super) fn each<'a>(
    message: &'a [u8],
    version: Version,
    mut each: impl FnMut(usize, Written<'a>) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let (mut symbols, mut number) = (Vec::new(), 0);
    if version == Version::Two {
        let mut fields = Fields::new(message);
        while let Some((field, value)) = fields.next()? {
            if field == 4 {
                symbols.push(value.text()?);
            }
        }
        if symbols.first().is_some_and(|first| !first.is_empty()) {
            return Err(WireError("symbols[0] is not the empty text"));
        }
    }
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next()? {
        match (version, field) {
            (Version::One, 1) => {
                each(number, Written::Series(series_one(value.message()?)?))?;
                number += 1;
            }
            (Version::One, 3) => {
                let (mut kind, mut family, mut help, mut unit) = (0, "", "", "");
                let mut fields = Fields::new(value.message()?);
                while let Some((field, value)) = fields.next()? {
                    match field {
                        1 => kind = value.varint()?,
                        2 => family = value.text()?,
                        4 => help = value.text()?,
                        5 => unit = value.text()?,
                        _ => {}
                    }
                }
                each(number, Written::Metadata { family, kind, help, unit })?;
            }
            (Version::Two, 5) => {
                each(number, Written::Series(series_two(value.message()?, &symbols)?))?;
                number += 1;
            }
            _ => {}
        }
    }
    Ok(())
}

fn label(message: &[u8]) -> Result<(&str, &str), WireError> {
    let (mut name, mut text) = ("", "");
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => name = value.text()?,
            2 => text = value.text()?,
            _ => {}
        }
    }
    Ok((name, text))
}

fn sample(message: &[u8]) -> Result<(i64, f64), WireError> {
    let (mut time, mut number) = (0, 0.0);
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => number = value.double()?,
            2 => time = value.varint()? as i64,
            _ => {}
        }
    }
    Ok((time, number))
}

fn series_one(message: &[u8]) -> Result<Series<'_>, WireError> {
    let mut series = Series::default();
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => series.labels.push(label(value.message()?)?),
            2 => series.samples.push(sample(value.message()?)?),
            3 => {
                let mut exemplar = Exemplar::default();
                let mut fields = Fields::new(value.message()?);
                while let Some((field, value)) = fields.next()? {
                    match field {
                        1 => exemplar.labels.push(label(value.message()?)?),
                        2 => exemplar.value = value.double()?,
                        3 => exemplar.time = value.varint()? as i64,
                        _ => {}
                    }
                }
                series.exemplars.push(exemplar);
            }
            4 => series.histograms.push(Histogram::read(value.message()?)?),
            _ => {}
        }
    }
    Ok(series)
}

fn symbol<'a>(symbols: &[&'a str], place: u64) -> Result<&'a str, WireError> {
    let symbol = usize::try_from(place).ok().and_then(|place| symbols.get(place));
    symbol.copied().ok_or(WireError("a reference lies beyond the symbols"))
}

fn labels<'a>(references: &[u64], symbols: &[&'a str]) -> Result<Labels<'a>, WireError> {
    let (pairs, rest) = references.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(WireError("labels_refs has a name without value"));
    }
    pairs.iter().map(|[name, value]| Ok((symbol(symbols, *name)?, symbol(symbols, *value)?))).collect()
}

fn series_two<'a>(message: &'a [u8], symbols: &[&'a str]) -> Result<Series<'a>, WireError> {
    let mut series = Series::default();
    let mut references = Vec::new();
    let mut fields = Fields::new(message);
    while let Some((field, value)) = fields.next()? {
        match field {
            1 => value.each_varint(|reference| references.push(reference))?,
            2 => series.samples.push(sample(value.message()?)?),
            3 => series.histograms.push(Histogram::read(value.message()?)?),
            4 => {
                let (mut exemplar, mut references) = (Exemplar::default(), Vec::new());
                let mut fields = Fields::new(value.message()?);
                while let Some((field, value)) = fields.next()? {
                    match field {
                        1 => value.each_varint(|reference| references.push(reference))?,
                        2 => exemplar.value = value.double()?,
                        3 => exemplar.time = value.varint()? as i64,
                        _ => {}
                    }
                }
                exemplar.labels = labels(&references, symbols)?;
                series.exemplars.push(exemplar);
            }
            5 => {
                let (mut kind, mut help, mut unit) = (0, 0, 0);
                let mut fields = Fields::new(value.message()?);
                while let Some((field, value)) = fields.next()? {
                    match field {
                        1 => kind = value.varint()?,
                        3 => help = value.varint()?,
                        4 => unit = value.varint()?,
                        _ => {}
                    }
                }
                let text = |place| if place == 0 { Ok("") } else { symbol(symbols, place) };
                series.metadata = Some((kind, text(help)?, text(unit)?));
            }
            6 => series.start = value.varint()? as i64,
            _ => {}
        }
    }
    series.labels = labels(&references, symbols)?;
    Ok(series)
}
