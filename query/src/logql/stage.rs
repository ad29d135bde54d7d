//! A line on its way through a pipeline.

use super::filter::{LabelFilter, Matcher};
use super::{LabelSource, LinePattern, NamedLabel, Stage, extract};
use std::borrow::Cow;
use std::sync::Arc;

/// The label that says what went wrong with a line.
pub(super) const ERROR: &str = "__error__";
const ERROR_DETAILS: &str = "__error_details__";

/// Where a label comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// The stream.
    Stream,
    /// The record's structured metadata.
    Metadata,
    /// A parser or a format.
    Parsed,
}

/// A label of a line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Label {
    /// Its name.
    pub(crate) name: Arc<str>,
    /// Its value.
    pub(crate) value: Arc<str>,
    /// Where it comes from.
    pub(crate) kind: Kind,
}

/// The labels of a line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Labels {
    all: Vec<Label>,
}

impl Labels {
    pub(super) fn new(stream: &[Label]) -> Self {
        Self { all: stream.to_vec() }
    }

    /// The value of a label, empty when it is not there.
    pub(super) fn get(&self, name: &str) -> &str {
        self.all.iter().find(|label| *label.name == *name).map_or("", |label| &label.value)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.all.iter().any(|label| *label.name == *name)
    }

    /// Adds what the record itself has; what the stream has too is not told again.
    pub(super) fn add_metadata(&mut self, name: &str, value: &str) {
        if !value.is_empty() && !self.has(name) {
            self.all.push(Label { name: Arc::from(name), value: Arc::from(value), kind: Kind::Metadata });
        }
    }

    /// Adds what a parser found; what is there already is not replaced.
    pub(super) fn extract(&mut self, name: &str, value: &str) {
        let taken = self.all.iter().find(|label| *label.name == *name).map(|label| label.kind);
        match taken {
            None => self.all.push(Label { name: Arc::from(name), value: Arc::from(value), kind: Kind::Parsed }),
            Some(Kind::Parsed) => {}
            Some(_) => {
                let name = format!("{name}_extracted");
                if !self.has(&name) {
                    self.all.push(Label { name: Arc::from(name), value: Arc::from(value), kind: Kind::Parsed });
                }
            }
        }
    }

    /// Sets a label whatever it was.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.all.push(Label { name: Arc::from(name), value: Arc::from(value), kind: Kind::Parsed });
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.all.retain(|label| *label.name != *name);
    }

    /// Keeps those that pass.
    pub(super) fn retain(&mut self, keep: impl FnMut(&Label) -> bool) {
        self.all.retain(keep);
    }

    pub(super) fn has_error(&self) -> bool {
        self.has(ERROR)
    }

    /// Notes what went wrong, the first of it.
    pub(super) fn fail(&mut self, kind: &str, details: &str) {
        if !self.has_error() {
            self.set(ERROR, kind);
            self.set(ERROR_DETAILS, details);
        }
    }

    /// The labels by name.
    pub(super) fn finish(mut self) -> Vec<Label> {
        self.all.sort();
        self.all
    }
}

/// A line with its labels.
#[derive(Clone, Debug)]
pub(super) struct Line<'a> {
    /// Nanoseconds since the Unix epoch.
    pub(super) time: i64,
    pub(super) text: Cow<'a, str>,
    pub(super) labels: Labels,
}

impl Line<'_> {
    /// Takes the line through the stages; `false` when one of them drops it.
    pub(super) fn passes(&mut self, stages: &[Stage]) -> bool {
        stages.iter().all(|stage| self.passes_stage(stage))
    }

    fn passes_stage(&mut self, stage: &Stage) -> bool {
        match stage {
            Stage::Line { is_wanted, patterns } => {
                return patterns.iter().any(|pattern| pattern.is_in(&self.text)) == *is_wanted;
            }
            Stage::Json(paths) if paths.is_empty() => extract::json(&self.text, &mut self.labels),
            Stage::Json(paths) => extract::json_paths(&self.text, paths, &mut self.labels),
            Stage::Logfmt { labels, strict, keep_empty } => {
                extract::logfmt(&self.text, labels, *strict, *keep_empty, &mut self.labels);
            }
            Stage::Pattern(pattern) => pattern.extract(&self.text, &mut self.labels),
            Stage::Regexp(regex) => {
                if let Some(found) = regex.captures(&self.text) {
                    for name in regex.capture_names().flatten() {
                        self.labels.extract(name, found.name(name).map_or("", |found| found.as_str()));
                    }
                }
            }
            Stage::Unpack => {
                if let Some(text) = extract::unpack(&self.text, &mut self.labels) {
                    self.text = Cow::Owned(text);
                }
            }
            Stage::Decolorize => {
                if let Cow::Owned(text) = extract::decolorize(&self.text) {
                    self.text = Cow::Owned(text);
                }
            }
            Stage::LineFormat(template) => match template.render(&self.labels, &self.text, self.time) {
                Ok(text) => self.text = Cow::Owned(text),
                Err(error) => self.labels.fail("TemplateFormatErr", &error),
            },
            Stage::LabelFormat(formats) => self.format_labels(formats),
            Stage::Filter(filter) => return self.passes_filter(filter),
            Stage::Drop(named) => {
                self.labels.retain(|label| !named.iter().any(|named| named.is(label)));
                // An error that was dropped takes its details with it.
                if !self.labels.has_error() {
                    self.labels.remove(ERROR_DETAILS);
                }
            }
            Stage::Keep(named) => {
                self.labels
                    .retain(|label| label.name.starts_with("__error") || named.iter().any(|named| named.is(label)));
            }
        }
        true
    }

    fn passes_filter(&mut self, filter: &LabelFilter) -> bool {
        filter.passes(&mut self.labels)
    }

    fn format_labels(&mut self, formats: &[(String, LabelSource)]) {
        for (name, source) in formats {
            match source {
                LabelSource::Label(other) => {
                    if self.labels.has(other) {
                        let value = self.labels.get(other).to_owned();
                        self.labels.remove(other);
                        self.labels.set(name, &value);
                    }
                }
                LabelSource::Template(template) => match template.render(&self.labels, &self.text, self.time) {
                    Ok(value) => self.labels.set(name, &value),
                    Err(error) => self.labels.fail("TemplateFormatErr", &error),
                },
            }
        }
    }
}

impl LinePattern {
    fn is_in(&self, line: &str) -> bool {
        match self {
            Self::Text(text) => line.contains(text.as_str()),
            Self::Regex(regex) => regex.is_match(line),
            Self::Ip(addresses) => addresses.in_line(line),
        }
    }
}

impl NamedLabel {
    fn is(&self, label: &Label) -> bool {
        match self {
            Self::Name(name) => *label.name == **name,
            Self::Matching(Matcher { name, test }) => *label.name == **name && test.passes(&label.value),
        }
    }
}
