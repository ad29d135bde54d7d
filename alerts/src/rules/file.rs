//! What a rule file holds, as YAML has it, with the place of each value.

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use serde_saphyr::Spanned;
use std::collections::BTreeMap;
use std::fmt;

/// A file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) groups: Vec<GroupFields>,
}

/// A group.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupFields {
    pub(super) name: Spanned<Text>,
    pub(super) interval: Option<Spanned<Text>>,
    pub(super) query_offset: Option<Spanned<Text>>,
    #[serde(default)]
    pub(super) limit: usize,
    #[serde(default)]
    pub(super) labels: BTreeMap<String, Spanned<Text>>,
    #[serde(default)]
    pub(super) rules: Vec<Spanned<RuleFields>>,
}

/// A rule of any kind; which fields may stand together is checked later.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RuleFields {
    pub(super) record: Option<Spanned<Text>>,
    pub(super) alert: Option<Spanned<Text>>,
    pub(super) slo: Option<Spanned<Text>>,
    pub(super) expr: Option<Spanned<Text>>,
    pub(super) r#for: Option<Spanned<Text>>,
    pub(super) keep_firing_for: Option<Spanned<Text>>,
    pub(super) labels: BTreeMap<String, Spanned<Text>>,
    pub(super) annotations: BTreeMap<String, Spanned<Text>>,
    // ours
    pub(super) logs: Option<Spanned<Text>>,
    pub(super) traces: Option<Spanned<Text>>,
    pub(super) sql: Option<Spanned<Text>>,
    pub(super) service: Option<Spanned<Text>>,
    pub(super) operation: Option<Spanned<Text>>,
    pub(super) by: Option<Spanned<Vec<Spanned<Text>>>>,
    pub(super) window: Option<Spanned<Text>>,
    pub(super) count: Option<Spanned<Text>>,
    pub(super) rate: Option<Spanned<Text>>,
    pub(super) error_rate: Option<Spanned<Text>>,
    pub(super) latency: Option<Spanned<Text>>,
    pub(super) min_count: Option<Spanned<Text>>,
    pub(super) value: Option<Spanned<Text>>,
    pub(super) each: Option<Spanned<bool>>,
    pub(super) absent: Option<Spanned<Text>>,
    pub(super) change: Option<Spanned<Text>>,
    pub(super) against: Option<Spanned<Text>>,
    pub(super) objective: Option<Spanned<Text>>,
    pub(super) bad: Option<Spanned<Text>>,
    pub(super) errors: Option<Spanned<Text>>,
    pub(super) total: Option<Spanned<Text>>,
}

/// Text, or a number or truth value that is written without quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyScalar;
        impl Visitor<'_> for AnyScalar {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text or a number")
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }
        }
        // Scalars are wanted as they are written: `1e3` and `007` are text here.
        deserializer.deserialize_str(AnyScalar)
    }
}
