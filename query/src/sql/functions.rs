//! Functions made for this field.

use crate::language::{self, Expr};
use arrow::array::{Array as _, AsArray as _, BooleanArray, StringArray};
use arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampNanosecondType};
use datafusion::common::{Column, Result, ScalarValue, exec_err};
use datafusion::functions_aggregate::approx_percentile_cont::approx_percentile_cont_udaf;
use datafusion::functions_aggregate::percentile_cont::percentile_cont_udaf;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::prelude::SessionContext;
use mangru_store::value::read_object;
use mangru_store::{PROMOTED, PROMOTED_RESOURCE, Signal};

/// Makes the functions known to a session.
pub(super) fn register(session: &SessionContext) {
    session.register_udf(ScalarUDF::from(Matches { signature: Signature::any(2, Volatility::Immutable) }));
    session.register_udf(ScalarUDF::from(Attr::new(false)));
    session.register_udf(ScalarUDF::from(JsonPath { signature: Signature::any(2, Volatility::Immutable) }));
    session.register_udf(ScalarUDF::from(TimeBucket { signature: Signature::any(2, Volatility::Immutable) }));
    session.register_udf(ScalarUDF::from(Rate { signature: Signature::any(2, Volatility::Immutable) }));
    // Names that people of this field look for first.
    session.register_udaf(percentile_cont_udaf().as_ref().clone().with_aliases(["percentile"]));
    session.register_udaf(approx_percentile_cont_udaf().as_ref().clone().with_aliases(["approx_percentile"]));
}

/// The name of [`Matches`] in SQL.
pub(super) const MATCHES: &str = "matches";

/// `matches(text, 'terms')`: whether a text matches words, phrases, prefixes and expressions of the search language.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Matches {
    signature: Signature,
}

/// A search over text alone; anything about fields is refused.
pub(super) fn text_search(terms: &str) -> Result<Expr> {
    let expr = language::parse(terms, Signal::Logs)
        .map_err(|error| datafusion::error::DataFusionError::Plan(format!("matches: {error}")))?;
    let mut about_fields = false;
    expr.visit(&mut |expr| about_fields |= matches!(expr, Expr::Field(..)));
    if about_fields {
        return datafusion::common::plan_err!("matches: the terms may not name fields");
    }
    Ok(expr)
}

/// A duration that stands in a statement, in nanoseconds and more than nothing.
fn duration(value: &ColumnarValue, function: &str) -> Result<i64> {
    let text = literal(value);
    match text.as_deref().and_then(crate::parse_duration).filter(|duration| *duration > 0) {
        Some(duration) => Ok(duration),
        None => exec_err!("{function}: the width is a duration in quotes, such as '5m'"),
    }
}

fn literal(value: &ColumnarValue) -> Option<String> {
    match value {
        ColumnarValue::Scalar(
            ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) | ScalarValue::LargeUtf8(Some(text)),
        ) => Some(text.clone()),
        _ => None,
    }
}

impl ScalarUDFImpl for Matches {
    fn name(&self) -> &'static str {
        MATCHES
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(terms) = literal(&arguments.args[1]) else {
            return exec_err!("matches: the terms are a text literal");
        };
        let expr = text_search(&terms)?;
        let array = arguments.args[0].to_array(arguments.number_rows)?;
        let texts = arrow::compute::cast(&array, &DataType::Utf8)?;
        let texts = texts.as_string::<i32>();
        let mut scratch = String::new();
        let found: BooleanArray =
            texts.iter().map(|text| text.map(|text| text_matches(&expr, text, &mut scratch))).collect();
        Ok(ColumnarValue::Array(std::sync::Arc::new(found)))
    }
}

fn text_matches(expr: &Expr, text: &str, scratch: &mut String) -> bool {
    match expr {
        Expr::All => true,
        Expr::And(all) => all.iter().all(|expr| text_matches(expr, text, scratch)),
        Expr::Or(any) => any.iter().any(|expr| text_matches(expr, text, scratch)),
        Expr::Not(inner) => !text_matches(inner, text, scratch),
        Expr::Text(pattern) => pattern.matches(text, scratch),
        Expr::Field(..) | Expr::Traces(_) | Expr::Resource(_) => false,
    }
}

/// `attr(attributes, 'key')`: the value of a key in a map or in a column of JSON objects, as text; NULL without it. A key that has a column of its
/// own is looked for there first, as far as the column is at hand.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Attr {
    signature: Signature,
    /// Whether the map alone is asked.
    is_plain: bool,
}

impl Attr {
    fn new(is_plain: bool) -> Self {
        Self { signature: Signature::any(2, Volatility::Immutable), is_plain }
    }
}

impl ScalarUDFImpl for Attr {
    fn name(&self) -> &'static str {
        "attr"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn simplify(
        &self,
        arguments: Vec<datafusion::prelude::Expr>,
        context: &SimplifyContext,
    ) -> Result<ExprSimplifyResult> {
        let own_column = || {
            let [datafusion::prelude::Expr::Column(attributes), datafusion::prelude::Expr::Literal(key, _)] =
                arguments.as_slice()
            else {
                return None;
            };
            let key = key.try_as_str()??;
            let promoted = match attributes.name.as_str() {
                "attributes" => PROMOTED,
                "resource_attributes" => PROMOTED_RESOURCE,
                _ => return None,
            };
            let promoted = promoted.iter().find(|promoted| promoted.key == key)?;
            let column = Column::new(attributes.relation.clone(), promoted.column);
            context.schema().has_column(&column).then(|| datafusion::prelude::Expr::Column(column))
        };
        match own_column().filter(|_| !self.is_plain) {
            Some(column) => {
                let column = datafusion::prelude::cast(column, DataType::Utf8);
                let in_map = ScalarUDF::from(Self::new(true)).call(arguments);
                Ok(ExprSimplifyResult::Simplified(datafusion::prelude::coalesce(vec![column, in_map])))
            }
            None => Ok(ExprSimplifyResult::Original(arguments)),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(key) = literal(&arguments.args[1]) else { return exec_err!("attr: the key is a text literal") };
        let array = arguments.args[0].to_array(arguments.number_rows)?;
        let found: StringArray = if let Some(map) = array.as_map_opt() {
            let (keys, values) = (map.keys().as_string::<i32>(), map.values().as_string::<i32>());
            let offsets = map.value_offsets();
            (0..map.len())
                .map(|row| {
                    (offsets[row] as usize..offsets[row + 1] as usize)
                        .find(|entry| keys.value(*entry) == key && values.is_valid(*entry))
                        .map(|entry| values.value(entry))
                })
                .collect()
        } else {
            let texts = arrow::compute::cast(&array, &DataType::Utf8)?;
            texts
                .as_string::<i32>()
                .iter()
                .map(|json| {
                    read_object(json?).into_iter().find_map(|(name, value)| (name == key).then(|| value.text()))
                })
                .collect()
        };
        Ok(ColumnarValue::Array(std::sync::Arc::new(found)))
    }
}

/// `json(text, 'a.b[0].c')`: a value inside JSON as text, NULL when there is none; `$` may stand before the path.
#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonPath {
    signature: Signature,
}

/// A step of a path.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    Item(usize),
}

/// Reads a path such as `$.a.b[0]["c d"]`.
fn path(text: &str) -> Option<Vec<Step>> {
    let mut rest = text.strip_prefix('$').unwrap_or(text);
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix("[\"") {
            let (name, behind) = inside.split_once("\"]")?;
            steps.push(Step::Member(name.to_owned()));
            rest = behind;
        } else if let Some(inside) = rest.strip_prefix('[') {
            let (number, behind) = inside.split_once(']')?;
            steps.push(Step::Item(number.parse().ok()?));
            rest = behind;
        } else {
            let name = rest.strip_prefix('.').unwrap_or(rest);
            let end = name.find(['.', '[']).unwrap_or(name.len());
            if end == 0 {
                return None;
            }
            steps.push(Step::Member(name[..end].to_owned()));
            rest = &name[end..];
        }
    }
    Some(steps)
}

/// The value at a path as text.
fn at_path(json: &str, path: &[Step]) -> Option<String> {
    let json: serde_json::Value = serde_json::from_str(json).ok()?;
    let mut value = &json;
    for step in path {
        value = match step {
            Step::Member(name) => value.get(name)?,
            Step::Item(number) => value.get(number)?,
        };
    }
    match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

impl ScalarUDFImpl for JsonPath {
    fn name(&self) -> &'static str {
        "json"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(path) = literal(&arguments.args[1]).as_deref().and_then(path) else {
            return exec_err!("json: the path is a text literal such as 'a.b[0]'");
        };
        let array = arguments.args[0].to_array(arguments.number_rows)?;
        let texts = arrow::compute::cast(&array, &DataType::Utf8)?;
        let found: StringArray =
            texts.as_string::<i32>().iter().map(|text| text.and_then(|text| at_path(text, &path))).collect();
        Ok(ColumnarValue::Array(std::sync::Arc::new(found)))
    }
}

/// `time_bucket('5m', time)`: the start of the bucket that a time lies in; buckets start at whole widths since 1970.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TimeBucket {
    signature: Signature,
}

impl ScalarUDFImpl for TimeBucket {
    fn name(&self) -> &'static str {
        "time_bucket"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match &arguments[1] {
            DataType::Timestamp(_, zone) => Ok(DataType::Timestamp(TimeUnit::Nanosecond, zone.clone())),
            other => datafusion::common::plan_err!("time_bucket: {other} is not a time"),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let width = duration(&arguments.args[0], "time_bucket")?;
        let array = arguments.args[1].to_array(arguments.number_rows)?;
        let times = arrow::compute::cast(&array, arguments.return_field.data_type())?;
        let times = times.as_primitive::<TimestampNanosecondType>();
        let starts = times.unary::<_, TimestampNanosecondType>(|time| time.div_euclid(width).saturating_mul(width));
        let starts = starts.with_timezone_opt(times.timezone().map(str::to_owned));
        Ok(ColumnarValue::Array(std::sync::Arc::new(starts)))
    }
}

/// `rate(count, '5m')`: how many each second, when there were so many within a width.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Rate {
    signature: Signature,
}

impl ScalarUDFImpl for Rate {
    fn name(&self) -> &'static str {
        "rate"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let seconds = duration(&arguments.args[1], "rate")? as f64 / 1e9;
        let array = arguments.args[0].to_array(arguments.number_rows)?;
        let counts = arrow::compute::cast(&array, &DataType::Float64)?;
        let rates = counts.as_primitive::<Float64Type>().unary::<_, Float64Type>(|count| count / seconds);
        Ok(ColumnarValue::Array(std::sync::Arc::new(rates)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_path() {
        let json = r#"{"a":{"b":[1,{"c d":"x"},null]},"t":"text"}"#;
        let at = |text: &str| at_path(json, &path(text).expect("a path"));
        assert_eq!(at("t").as_deref(), Some("text"));
        assert_eq!(at("$.a.b[0]").as_deref(), Some("1"));
        assert_eq!(at(r#"a.b[1]["c d"]"#).as_deref(), Some("x"));
        assert_eq!(at("a.b[1]").as_deref(), Some(r#"{"c d":"x"}"#));
        for missing in ["a.b[2]", "a.b[3]", "a.c", "t.u"] {
            assert_eq!(at(missing), None, "{missing}");
        }
        for wrong in ["a..b", "a[", "a[x]", ".", "a[\"b"] {
            assert_eq!(path(wrong), None, "{wrong}");
        }
    }
}
