//! What Prometheus 3.5 calls experimental, and evaluates only when it is told to.

use super::eval::invalid;
use crate::QueryError;
use promql_parser::parser::Expr;
use promql_parser::parser::token::{T_LIMIT_RATIO, T_LIMITK};

/// The setting that allows it.
const SETTING: &str = "query.promql_experimental_functions";

/// Says what of an expression is experimental.
pub(super) fn refuse(expr: &Expr) -> Result<(), QueryError> {
    let refused = |name: &str| {
        Err(invalid(format!("parse error: {name}() is experimental in Prometheus: it needs {SETTING}: true")))
    };
    match expr {
        Expr::Call(call) if call.func.experimental => refused(call.func.name),
        Expr::Call(call) => call.args.args.iter().try_for_each(|argument| refuse(argument)),
        Expr::Aggregate(aggregate) => {
            if [T_LIMITK, T_LIMIT_RATIO].contains(&aggregate.op.id()) {
                return refused(&aggregate.op.to_string());
            }
            refuse(&aggregate.expr)?;
            aggregate.param.as_ref().map_or(Ok(()), |parameter| refuse(parameter))
        }
        Expr::Paren(paren) => refuse(&paren.expr),
        Expr::Unary(unary) => refuse(&unary.expr),
        Expr::Subquery(subquery) => refuse(&subquery.expr),
        Expr::Binary(binary) => {
            refuse(&binary.lhs)?;
            refuse(&binary.rhs)
        }
        Expr::VectorSelector(_)
        | Expr::MatrixSelector(_)
        | Expr::NumberLiteral(_)
        | Expr::StringLiteral(_)
        | Expr::Extension(_) => Ok(()),
    }
}
