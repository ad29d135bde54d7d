//! Functions whose results may be far longer than what they are given, or that compute for far longer: without those that make
//! any length out of a number, and with a bound on what others are given.

use super::provider::external;
use crate::scan::Control;
use arrow::array::{Array, ArrayRef, AsArray as _};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use datafusion::prelude::SessionContext;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Functions that are not there: a number says how long the result is, and nothing bounds the memory for it.
const LEFT_OUT: [&str; 8] =
    ["repeat", "lpad", "rpad", "array_repeat", "array_resize", "generate_series", "range", "array_pad"];
/// Functions that put a text in place of each match.
const REPLACING: [&str; 2] = ["replace", "regexp_replace"];
/// Bytes of such a text.
const MAX_REPLACEMENT: usize = 256;
/// Functions that look at each item of one argument for each item of the other.
const PAIRING: [&str; 6] = ["levenshtein", "array_has_all", "array_has_any", "btrim", "ltrim", "rtrim"];
/// Pairs of items, or of bytes of texts, of one row.
const MAX_PAIRS: usize = 16_000_000;

/// Leaves out and bounds functions of a session.
pub(super) fn bound(session: &SessionContext, control: &Control) {
    for name in LEFT_OUT {
        session.deregister_udf(name);
    }
    let rules = REPLACING.map(|name| (name, Rule::Replacement)).into_iter();
    for (name, rule) in rules.chain(PAIRING.map(|name| (name, Rule::Pairs(control.clone())))) {
        let known = session.state_ref().read().scalar_functions().get(name).cloned();
        if let Some(inner) = known {
            session.register_udf(ScalarUDF::from(Bounded { inner, rule }));
        }
    }
}

/// Whether functions of this name are bounded: operators bring some along without asking the session for them.
pub(super) fn is_bounded(name: &str) -> bool {
    REPLACING.contains(&name) || PAIRING.contains(&name)
}

/// What is bounded of a function.
#[derive(Clone, Debug)]
enum Rule {
    /// The third argument, which is put in place of what is found.
    Replacement,
    /// The product of the lengths of the first two.
    Pairs(Control),
}

/// A function with a bound.
#[derive(Debug)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    rule: Rule,
}

impl PartialEq for Bounded {
    fn eq(&self, other: &Self) -> bool {
        self.inner.name() == other.inner.name()
    }
}

impl Eq for Bounded {}

impl Hash for Bounded {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.name().hash(state);
    }
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arguments)
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(arguments)
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arguments)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        match &self.rule {
            Rule::Replacement => {
                self.check_replacement(&arguments)?;
                self.inner.invoke_with_args(arguments)
            }
            Rule::Pairs(control) => self.in_steps(arguments, control),
        }
    }
}

impl Bounded {
    fn check_replacement(&self, arguments: &ScalarFunctionArgs) -> Result<()> {
        let Some(replacement) = arguments.args.get(2) else { return Ok(()) };
        let rows = if matches!(replacement, ColumnarValue::Scalar(_)) { 1 } else { arguments.number_rows };
        let texts = arrow::compute::cast(&replacement.to_array(rows)?, &DataType::Utf8)?;
        let texts = texts.as_string::<i32>();
        if (0..texts.len()).any(|row| texts.is_valid(row) && texts.value(row).len() > MAX_REPLACEMENT) {
            return exec_err!("{}: the replacement is longer than {MAX_REPLACEMENT} bytes", self.name());
        }
        Ok(())
    }

    /// Calls the function for some rows after the others, so that no step is long.
    fn in_steps(&self, arguments: ScalarFunctionArgs, control: &Control) -> Result<ColumnarValue> {
        let [first, second, ..] = arguments.args.as_slice() else { return self.inner.invoke_with_args(arguments) };
        let rows = arguments.number_rows;
        let (first, second) = (Lengths::of(first, rows)?, Lengths::of(second, rows)?);
        let mut ends = Vec::new();
        let mut pairs = 0_usize;
        for row in 0..rows {
            let (left, right) = (first.of_row(row), second.of_row(row));
            let of_row = left.saturating_mul(right);
            if of_row > MAX_PAIRS {
                return exec_err!(
                    "{}: arguments of lengths {left} and {right}: multiplied they are more than {MAX_PAIRS}",
                    self.name()
                );
            }
            if pairs + of_row > MAX_PAIRS {
                ends.push(row);
                pairs = 0;
            }
            pairs += of_row;
        }
        if ends.is_empty() {
            return self.inner.invoke_with_args(arguments);
        }
        ends.push(rows);
        let (mut start, mut pieces) = (0, Vec::<ArrayRef>::new());
        for end in ends {
            control.check().map_err(external)?;
            let of_step = |value: &ColumnarValue| match value {
                ColumnarValue::Array(array) => ColumnarValue::Array(array.slice(start, end - start)),
                scalar @ ColumnarValue::Scalar(_) => scalar.clone(),
            };
            let step = ScalarFunctionArgs {
                args: arguments.args.iter().map(of_step).collect(),
                number_rows: end - start,
                ..arguments.clone()
            };
            pieces.push(self.inner.invoke_with_args(step)?.to_array(end - start)?);
            start = end;
        }
        let pieces: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
        Ok(ColumnarValue::Array(arrow::compute::concat(&pieces)?))
    }
}

/// How long the values of an argument are: the bytes of a text, the items of a list.
struct Lengths {
    array: ArrayRef,
    is_scalar: bool,
}

impl Lengths {
    fn of(value: &ColumnarValue, rows: usize) -> Result<Self> {
        let is_scalar = matches!(value, ColumnarValue::Scalar(_));
        let array = value.to_array(if is_scalar { 1 } else { rows })?;
        let array = match array.data_type() {
            DataType::Dictionary(_, kind) => arrow::compute::cast(&array, kind)?,
            _ => array,
        };
        Ok(Self { array, is_scalar })
    }

    fn of_row(&self, row: usize) -> usize {
        let row = if self.is_scalar { 0 } else { row };
        if self.array.is_null(row) {
            return 0;
        }
        match self.array.data_type() {
            DataType::Utf8 => self.array.as_string::<i32>().value(row).len(),
            DataType::LargeUtf8 => self.array.as_string::<i64>().value(row).len(),
            DataType::Utf8View => self.array.as_string_view().value(row).len(),
            DataType::List(_) => self.array.as_list::<i32>().value_length(row) as usize,
            DataType::LargeList(_) => self.array.as_list::<i64>().value_length(row) as usize,
            DataType::FixedSizeList(_, length) => *length as usize,
            _ => 1,
        }
    }
}
