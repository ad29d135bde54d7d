//! What is changed in a statement before it is planned: ids in capitals, and functions that operators bring along.

use super::bounded;
use datafusion::common::tree_node::{Transformed, TreeNode as _, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue};
use datafusion::execution::context::SessionState;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};

/// Columns of ids with the length of their hex text.
const IDS: [(&str, usize); 3] = [("trace_id", 32), ("span_id", 16), ("parent_span_id", 16)];

/// The plan with ids that are compared with literals in lower case, as the tables show them, and with functions that are bounded.
pub(super) fn rewritten(plan: LogicalPlan, state: &SessionState) -> Result<LogicalPlan> {
    let mut names_other_texts = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::Alias(alias) = expr
                    && is_id_name(&alias.name)
                    && id_length(&alias.expr).is_none()
                {
                    names_other_texts = true;
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    let change = |expr: Expr| -> Result<Transformed<Expr>> {
        match expr {
            Expr::ScalarFunction(mut call) if bounded::is_bounded(call.func.name()) => {
                if let Some(known) = state.scalar_functions().get(call.func.name()) {
                    call.func = known.clone();
                }
                Ok(Transformed::yes(Expr::ScalarFunction(call)))
            }
            // A column that only has the name of an id may well have capitals.
            expr if names_other_texts => Ok(Transformed::no(expr)),
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Eq | Operator::NotEq), right }) => {
                let (length_left, length_right) = (id_length(&left), id_length(&right));
                let left = length_right.map_or_else(|| left.as_ref().clone(), |length| lower(&left, length));
                let right = length_left.map_or_else(|| right.as_ref().clone(), |length| lower(&right, length));
                Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))))
            }
            Expr::InList(mut list) => {
                if let Some(length) = id_length(&list.expr) {
                    list.list = list.list.iter().map(|item| lower(item, length)).collect();
                }
                Ok(Transformed::yes(Expr::InList(list)))
            }
            other => Ok(Transformed::no(other)),
        }
    };
    let change_node = |node: LogicalPlan| node.map_expressions(|expr| expr.transform_up(change));
    Ok(plan.transform_up_with_subqueries(change_node)?.data)
}

fn is_id_name(name: &str) -> bool {
    IDS.iter().any(|(id, _)| *id == name)
}

/// The length of an id, when the expression is a column of ids.
fn id_length(expr: &Expr) -> Option<usize> {
    let Expr::Column(column) = expr else { return None };
    IDS.iter().find(|(name, _)| *name == column.name).map(|(_, length)| *length)
}

/// A literal that is an id of this length in lower case; anything else as it is.
fn lower(expr: &Expr, length: usize) -> Expr {
    let Expr::Literal(value, metadata) = expr else { return expr.clone() };
    let (ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) | ScalarValue::LargeUtf8(Some(text))) =
        value
    else {
        return expr.clone();
    };
    if text.len() != length || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return expr.clone();
    }
    Expr::Literal(ScalarValue::Utf8(Some(text.to_ascii_lowercase())), metadata.clone())
}
