//! Functions that stand where a table does: rows of a search, spans of a trace.

use super::provider::Table;
use crate::language;
use crate::traces::of_trace;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::Expr;
use datafusion::prelude::SessionContext;
use mangru_store::{Signal, TraceId};
use std::sync::Arc;

/// Makes the functions known to a session.
pub(super) fn register(session: &SessionContext, tables: &[(Signal, Arc<Table>)]) {
    session.register_udtf("search", Arc::new(Search { tables: tables.to_vec() }));
    session.register_udtf("trace", Arc::new(Trace { tables: tables.to_vec() }));
}

fn texts(arguments: &[Expr]) -> Option<Vec<&str>> {
    arguments
        .iter()
        .map(|argument| match argument {
            Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)), _) => Some(text.as_str()),
            _ => None,
        })
        .collect()
}

/// `search('logs', 'service:web timeout')`: the rows of a table that a search finds.
#[derive(Debug)]
struct Search {
    tables: Vec<(Signal, Arc<Table>)>,
}

impl TableFunctionImpl for Search {
    fn call_with_args(&self, arguments: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        let texts = texts(arguments.exprs());
        let Some([name, query]) = texts.as_deref() else {
            return plan_err!(
                "search takes a table and a search, both in quotes: search('logs', 'service:web timeout')"
            );
        };
        let Some((signal, table)) = self.tables.iter().find(|(signal, _)| signal.table() == *name) else {
            return plan_err!("search: `{name}` is not logs, spans or metric_points");
        };
        let expr = language::parse(query, *signal).map_err(super::provider::external)?;
        Ok(Arc::new(table.only(expr)))
    }
}

/// `trace('4bf92f3577b34da6a3ce929d0e0e4736')`: the spans of a trace.
#[derive(Debug)]
struct Trace {
    tables: Vec<(Signal, Arc<Table>)>,
}

impl TableFunctionImpl for Trace {
    fn call_with_args(&self, arguments: TableFunctionArgs<'_, '_>) -> Result<Arc<dyn TableProvider>> {
        let texts = texts(arguments.exprs());
        let id = texts.as_deref().and_then(|texts| match texts {
            [id] => TraceId::from_short_hex(id),
            _ => None,
        });
        let Some(id) = id else { return plan_err!("trace takes a trace id of 32 hex digits in quotes") };
        let Some((_, table)) = self.tables.iter().find(|(signal, _)| *signal == Signal::Spans) else {
            return plan_err!("there is no table of spans");
        };
        Ok(Arc::new(table.only(of_trace(&id.to_string()))))
    }
}
