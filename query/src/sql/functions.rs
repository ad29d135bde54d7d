//! Functions made for this field.

use crate::language::{self, Expr};
use arrow::array::{Array as _, AsArray as _, BooleanArray, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::{Result, ScalarValue, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use datafusion::prelude::SessionContext;
use mangru_store::Signal;
use mangru_store::value::read_object;

/// Makes the functions known to a session.
pub(super) fn register(session: &SessionContext) {
    session.register_udf(ScalarUDF::from(Matches { signature: Signature::any(2, Volatility::Immutable) }));
    session.register_udf(ScalarUDF::from(Attr { signature: Signature::any(2, Volatility::Immutable) }));
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
        Expr::Field(..) | Expr::Traces(_) => false,
    }
}

/// `attr(attributes, 'key')`: the value of a key in a map or in a column of JSON objects, as text; NULL without it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Attr {
    signature: Signature,
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
