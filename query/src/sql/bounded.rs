//! Functions whose results may be far longer than what they are given: without those that make any length out of a number,
//! and with a bound on what others put in.

use arrow::array::{Array as _, AsArray as _};
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

/// Leaves out and bounds functions of a session.
pub(super) fn bound(session: &SessionContext) {
    for name in LEFT_OUT {
        session.deregister_udf(name);
    }
    for name in REPLACING {
        let known = session.state_ref().read().scalar_functions().get(name).cloned();
        if let Some(inner) = known {
            session.register_udf(ScalarUDF::from(Replacing { inner }));
        }
    }
}

/// A function that puts its third argument in place of what it finds.
#[derive(Debug)]
struct Replacing {
    inner: Arc<ScalarUDF>,
}

impl PartialEq for Replacing {
    fn eq(&self, other: &Self) -> bool {
        self.inner.name() == other.inner.name()
    }
}

impl Eq for Replacing {}

impl Hash for Replacing {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.inner.name().hash(state);
    }
}

impl ScalarUDFImpl for Replacing {
    fn name(&self) -> &str {
        self.inner.name()
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
        if let Some(replacement) = arguments.args.get(2) {
            let rows = if matches!(replacement, ColumnarValue::Scalar(_)) { 1 } else { arguments.number_rows };
            let texts = arrow::compute::cast(&replacement.to_array(rows)?, &DataType::Utf8)?;
            let texts = texts.as_string::<i32>();
            if (0..texts.len()).any(|row| texts.is_valid(row) && texts.value(row).len() > MAX_REPLACEMENT) {
                return exec_err!("{}: the replacement is longer than {MAX_REPLACEMENT} bytes", self.name());
            }
        }
        self.inner.invoke_with_args(arguments)
    }
}
