//! A dashboard as the file that says it.

use super::{DEFAULT_HEIGHT, DEFAULT_WIDTH, Dashboard, Figure, Kind, Panel, Query, Reduce, RowSignal, Variable};
use crate::yaml::Writer;

impl Dashboard {
    /// The file, with only what differs from the defaults.
    pub(crate) fn yaml(&self) -> String {
        let mut out = Writer::default();
        out.text("title", &self.title);
        text(&mut out, "description", &self.description);
        if let Some(range) = &self.range {
            out.text("range", range);
        }
        if !self.variables.is_empty() {
            out.list("variables", &self.variables, variable);
        }
        if !self.panels.is_empty() {
            out.list("panels", &self.panels, panel);
        }
        out.finish()
    }
}

fn text(out: &mut Writer, key: &str, value: &str) {
    if !value.is_empty() {
        out.text(key, value);
    }
}

fn variable(out: &mut Writer, variable: &Variable) {
    out.text("name", &variable.name);
    text(out, "label", &variable.label);
    if !variable.values.is_empty() {
        out.texts("values", &variable.values);
    }
    text(out, "field", &variable.field);
    if variable.signal != RowSignal::default() {
        out.text("signal", variable.signal.name());
    }
    text(out, "metric_label", &variable.metric_label);
    text(out, "of", &variable.of);
    if let Some(default) = &variable.default {
        out.text("default", default);
    }
    if variable.all {
        out.plain("all", true);
    }
}

fn panel(out: &mut Writer, panel: &Panel) {
    out.text("title", &panel.title);
    text(out, "description", &panel.description);
    if panel.kind != Kind::default() {
        out.text("kind", panel.kind.name());
    }
    if panel.width != DEFAULT_WIDTH {
        out.plain("width", panel.width);
    }
    if panel.height != DEFAULT_HEIGHT {
        out.plain("height", panel.height);
    }
    if let Some(unit) = &panel.unit {
        out.text("unit", unit);
    }
    if let Some(style) = &panel.style {
        out.text("style", style);
    }
    if panel.value != Reduce::default() {
        out.text("value", panel.value.name());
    }
    if let Some(limit) = panel.limit {
        out.plain("limit", limit);
    }
    if !panel.columns.is_empty() {
        out.texts("columns", &panel.columns);
    }
    text(out, "text", &panel.text);
    if !panel.queries.is_empty() {
        out.list("queries", &panel.queries, query);
    }
    if !panel.thresholds.is_empty() {
        out.list("thresholds", &panel.thresholds, |out, threshold| {
            out.plain("value", threshold.value);
            text(out, "label", &threshold.label);
        });
    }
    if !panel.links.is_empty() {
        out.list("links", &panel.links, |out, link| {
            out.text("title", &link.title);
            out.text("url", &link.url);
        });
    }
}

fn query(out: &mut Writer, query: &Query) {
    for (key, value) in [("promql", &query.promql), ("search", &query.search), ("sql", &query.sql)] {
        if let Some(value) = value {
            out.text(key, value);
        }
    }
    if let Some(signal) = query.signal {
        out.text("signal", signal.name());
    }
    if query.figure != Figure::default() {
        out.text("figure", query.figure.name());
    }
    if let Some(field) = &query.field {
        out.text("field", field);
    }
    if let Some(by) = &query.by {
        out.text("by", by);
    }
    text(out, "legend", &query.legend);
}

#[cfg(test)]
mod tests {
    use super::super::{READY_MADE, read};

    #[test]
    fn what_is_written_is_read_back() {
        for made in READY_MADE.iter() {
            let (name, dashboard) = (made.name, read(&made.text).expect("a valid file"));
            let written = dashboard.yaml();
            match read(&written) {
                Ok(again) => assert_eq!(again, dashboard, "{name}"),
                Err(faults) => panic!("{name}: {faults:?}\n{written}"),
            }
        }
    }
}
