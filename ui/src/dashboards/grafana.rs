//! From a dashboard of Grafana (its JSON, also of older versions) to one of ours. Queries of Prometheus are taken over; what
//! cannot be is told, panel by panel.

use super::variables;
use super::{COLUMNS, Dashboard, Kind, Link, MAX_HEIGHT, Panel, Query, Reduce, Threshold, Variable};
use serde_json::Value;

/// Columns of Grafana's grid.
const GRAFANA_COLUMNS: u64 = 24;
/// The height of one of our rows in rows of Grafana's grid.
const GRAFANA_ROWS: u64 = 3;
const MAX_PANELS: usize = 60;
const MAX_QUERIES: usize = 8;

/// What became of a dashboard.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    /// Ours.
    pub(crate) dashboard: Dashboard,
    /// What could not be taken over.
    pub(crate) notes: Vec<String>,
}

/// Takes a dashboard over.
pub(crate) fn import(json: &str) -> Result<Taken, String> {
    let parsed: Value = serde_json::from_str(json.trim()).map_err(|error| format!("this is not JSON: {error}"))?;
    // An export through the API wraps the dashboard.
    let source = if parsed["dashboard"].is_object() { &parsed["dashboard"] } else { &parsed };
    let (panels, rows) = (source["panels"].as_array(), source["rows"].as_array());
    if panels.is_none() && rows.is_none() {
        return Err("this is not a dashboard of Grafana: it has neither panels nor rows".to_owned());
    }
    let mut taken = Taken { dashboard: Dashboard::default(), notes: Vec::new() };
    let title = text(source, "title");
    taken.dashboard.title = if title.is_empty() { "Imported dashboard".to_owned() } else { title };
    taken.dashboard.description = text(source, "description");
    let from = text(&source["time"], "from");
    taken.dashboard.range =
        from.strip_prefix("now").filter(|range| crate::time_choice::is_relative_start(range)).map(str::to_owned);
    for variable in source["templating"]["list"].as_array().into_iter().flatten() {
        taken.variable(variable);
    }
    for panel in panels.into_iter().flatten() {
        taken.panel(panel);
    }
    // Before version 5 panels stood in rows, with spans of twelve columns.
    for row in rows.into_iter().flatten() {
        for panel in row["panels"].as_array().into_iter().flatten() {
            taken.panel(panel);
        }
    }
    if source["links"].as_array().is_some_and(|links| !links.is_empty()) {
        taken.notes.push("links of the dashboard are left out".to_owned());
    }
    if source["annotations"]["list"].as_array().is_some_and(|list| list.iter().any(|one| one["builtIn"] != 1)) {
        taken.notes.push("annotations are left out".to_owned());
    }
    if taken.dashboard.panels.len() > MAX_PANELS {
        let more = taken.dashboard.panels.len() - MAX_PANELS;
        taken.dashboard.panels.truncate(MAX_PANELS);
        taken.notes.push(format!("the last {more} panels are left out: a dashboard has {MAX_PANELS} at most"));
    }
    taken.drop_unknown_variables();
    Ok(taken)
}

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

impl Taken {
    fn note(&mut self, what: &str, why: &str) {
        self.notes.push(format!("{what}: {why}"));
    }

    fn variable(&mut self, source: &Value) {
        let name = text(source, "name");
        let label = text(source, "label");
        let all = source["includeAll"].as_bool().unwrap_or(false);
        if source["multi"].as_bool().unwrap_or(false) {
            self.note(&format!("variable `{name}`"), "several values at once cannot be chosen; one, or all");
        }
        let query = match &source["query"] {
            Value::String(query) => query.clone(),
            other => text(other, "query"),
        };
        let mut variable = Variable { name: name.clone(), label, all, ..Variable::default() };
        match source["type"].as_str().unwrap_or_default() {
            "query" => {
                let inner = query.trim().strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
                let Some(inner) = inner else {
                    return self
                        .note(&format!("variable `{name}`"), &format!("only label_values(…) is known, not `{query}`"));
                };
                let (of, wanted) = inner.rsplit_once(',').unwrap_or(("", inner));
                wanted.trim().clone_into(&mut variable.metric_label);
                of.trim().clone_into(&mut variable.of);
                if !variables::named_in(&variable.of).is_empty() {
                    self.note(&format!("variable `{name}`"), "its values do not depend on other variables");
                    variable.of.clear();
                }
                if !text(source, "regex").is_empty() {
                    self.note(
                        &format!("variable `{name}`"),
                        "its regular expression is left out: all values are offered",
                    );
                }
            }
            "custom" | "interval" => {
                // A value may have a name before it: `name : value`.
                let value = |one: &str| one.split_once(" : ").map_or(one, |(_, value)| value).trim().to_owned();
                variable.values = query.split(',').map(value).filter(|value| !value.is_empty()).collect();
            }
            "constant" | "textbox" => variable.values = vec![query],
            "datasource" => return,
            other => {
                return self.note(&format!("variable `{name}`"), &format!("variables of type {other} are not known"));
            }
        }
        let current = source["current"]["value"].as_str().filter(|value| *value != "$__all" && !value.is_empty());
        variable.default = current
            .map(str::to_owned)
            .filter(|value| variable.values.is_empty() || variable.values.contains(value))
            .filter(|_| !all);
        self.dashboard.variables.push(variable);
    }

    fn panel(&mut self, source: &Value) {
        let title = text(source, "title");
        let what = if title.is_empty() { format!("panel {}", source["id"]) } else { format!("panel “{title}”") };
        let grafana_type = source["type"].as_str().unwrap_or_default();
        if source["libraryPanel"].is_object() && grafana_type.is_empty() {
            return self.note(
                &what,
                "left out: it is in Grafana's library; export the dashboard for sharing, which writes such panels out",
            );
        }
        let (kind, style, value) = match grafana_type {
            "row" => {
                if !text(source, "repeat").is_empty() {
                    self.note(&what, "it is not repeated for each value of a variable");
                } else if !title.is_empty() {
                    self.note(&what, "rows are not kept: its panels stand behind each other");
                }
                for panel in source["panels"].as_array().into_iter().flatten() {
                    self.panel(panel);
                }
                return;
            }
            "timeseries" | "graph" | "barchart" | "trend" | "state-timeline" | "status-history" => {
                (Kind::Timeseries, style(source), Reduce::Last)
            }
            "stat" | "singlestat" | "gauge" => (Kind::Stat, None, reduce(source)),
            "bargauge" | "piechart" => (Kind::Bar, None, reduce(source)),
            "table" | "table-old" => (Kind::Table, None, Reduce::Last),
            "heatmap" => (Kind::Heatmap, None, Reduce::Last),
            "text" => (Kind::Text, None, Reduce::Last),
            other => return self.note(&what, &format!("panels of type {other} are not known")),
        };
        let mut panel =
            Panel { title, description: text(source, "description"), kind, style, value, ..Panel::default() };
        let grid = &source["gridPos"];
        let columns = grid["w"].as_u64().or_else(|| source["span"].as_u64().map(|span| span * 2)).unwrap_or(12);
        panel.width = (columns * u64::from(COLUMNS)).div_ceil(GRAFANA_COLUMNS).clamp(1, u64::from(COLUMNS)) as u8;
        panel.height = grid["h"].as_u64().unwrap_or(8).div_ceil(GRAFANA_ROWS).clamp(1, u64::from(MAX_HEIGHT)) as u8;
        self.look(source, &what, &mut panel);
        if kind == Kind::Text {
            let content = source["options"]["content"].as_str().or(source["content"].as_str()).unwrap_or_default();
            if content.trim().is_empty() {
                return;
            }
            content.clone_into(&mut panel.text);
            if content.contains(['<', '[', '*']) {
                self.note(&what, "its text is shown as it stands: only paragraphs, lists and headings are set");
            }
            self.dashboard.panels.push(panel);
            return;
        }
        self.queries(source, &what, &mut panel);
        if panel.queries.is_empty() {
            return self.note(&what, "left out: it has no query of Prometheus that could be taken over");
        }
        if source["transformations"].as_array().is_some_and(|list| !list.is_empty()) {
            self.note(&what, "its transformations are left out");
        }
        self.dashboard.panels.push(panel);
    }

    fn look(&mut self, source: &Value, what: &str, panel: &mut Panel) {
        let defaults = &source["fieldConfig"]["defaults"];
        let unit = defaults["unit"]
            .as_str()
            .or_else(|| source["format"].as_str())
            .or_else(|| source["yaxes"][0]["format"].as_str());
        if let Some(unit) = unit.filter(|unit| !unit.is_empty()) {
            panel.unit = match unit {
                // Without a unit it would be guessed.
                "short" | "none" => Some("none"),
                "s" | "dtdurations" => Some("s"),
                "ms" | "dtdurationms" => Some("ms"),
                "ns" => Some("ns"),
                "bytes" | "decbytes" => Some("bytes"),
                "Bps" | "binBps" => Some("bytes_per_second"),
                "percent" => Some("percent"),
                "percentunit" => Some("ratio"),
                "reqps" | "ops" | "cps" | "rps" | "wps" | "iops" | "pps" => Some("per_second"),
                other => {
                    self.note(what, &format!("the unit {other} is not known"));
                    None
                }
            }
            .map(str::to_owned);
        }
        let steps = defaults["thresholds"]["steps"].as_array().into_iter().flatten();
        panel.thresholds = steps
            .filter_map(|step| Some(Threshold { value: step["value"].as_f64()?, label: String::new() }))
            .filter(|step| step.value > 0.0)
            .collect();
        // Lines are drawn in Grafana only where they are switched on.
        if panel.kind == Kind::Timeseries
            && !matches!(defaults["custom"]["thresholdsStyle"]["mode"].as_str(), Some(mode) if mode != "off")
        {
            panel.thresholds.clear();
        }
        for link in source["links"].as_array().into_iter().flatten() {
            let (title, url) = (text(link, "title"), text(link, "url"));
            if super::is_safe_url(&url) && variables::named_in(&url).is_empty() {
                panel.links.push(Link { title: if title.is_empty() { url.clone() } else { title }, url });
            } else if !url.is_empty() {
                self.note(what, "a link with variables is left out");
            }
        }
        if !text(source, "repeat").is_empty() {
            self.note(what, "it is not repeated for each value of a variable");
        }
        if source["fieldConfig"]["overrides"].as_array().is_some_and(|list| !list.is_empty()) {
            self.note(what, "settings of single series are left out");
        }
    }

    fn queries(&mut self, source: &Value, what: &str, panel: &mut Panel) {
        for target in source["targets"].as_array().into_iter().flatten() {
            if target["hide"].as_bool() == Some(true) {
                continue;
            }
            let expr = text(target, "expr");
            let of = target["datasource"]["type"].as_str().or_else(|| source["datasource"]["type"].as_str());
            let is_of_metrics = of.is_none_or(|of| {
                let known = ["prometheus", "victoriametrics", "mixed", "datasource"];
                of.starts_with('$') || known.iter().any(|known| of.contains(known))
            });
            if expr.trim().is_empty() || !is_of_metrics {
                self.note(what, &format!("a query of {} is left out", of.unwrap_or("another source")));
                continue;
            }
            if panel.queries.len() == MAX_QUERIES || (panel.kind == Kind::Heatmap && panel.queries.len() == 1) {
                self.note(what, "further queries are left out");
                break;
            }
            let expr = given(&expr);
            if let Err(error) = self.check(&expr) {
                self.note(what, &format!("the query `{expr}` is left out: {}", error.message));
                continue;
            }
            let legend = text(target, "legendFormat");
            let legend = if legend == "__auto" { String::new() } else { legend };
            panel.queries.push(Query { promql: Some(expr), legend, ..Query::default() });
        }
    }

    /// Whether a query is one, with values for its variables: the first of those that are known, else a word or a duration.
    fn check(&self, expr: &str) -> Result<(), mangru_query::QueryError> {
        let with = |otherwise: &str| {
            let value = |name: &str| {
                let known = self.dashboard.variables.iter().find(|variable| variable.name == name);
                let first = known.and_then(|variable| variable.values.first());
                Some(variables::Chosen::One(first.cloned().unwrap_or_else(|| otherwise.to_owned())))
            };
            let sample = variables::filled(expr, "promql", &value, variables::Given::EXAMPLE);
            mangru_query::check_promql(&sample)
        };
        with("x").or_else(|error| with("1m").map_err(|_| error))
    }

    /// A query that names a variable which was not taken over cannot be asked.
    fn drop_unknown_variables(&mut self) {
        let known: Vec<String> = self.dashboard.variables.iter().map(|variable| variable.name.clone()).collect();
        let is_known = |query: &Query| -> Result<(), String> {
            let text = query.promql.as_deref().unwrap_or_default();
            match variables::named_in(text).into_iter().find(|name| !known.contains(name) && !variables::is_given(name))
            {
                Some(name) => Err(name),
                None => Ok(()),
            }
        };
        let mut notes = Vec::new();
        for panel in &mut self.dashboard.panels {
            let title = panel.title.clone();
            panel.queries.retain(|query| match is_known(query) {
                Ok(()) => true,
                Err(name) => {
                    notes.push(format!("panel “{title}”: a query is left out, it names the variable {name}"));
                    false
                }
            });
        }
        self.dashboard.panels.retain(|panel| panel.kind == Kind::Text || !panel.queries.is_empty());
        self.notes.append(&mut notes);
    }
}

/// Grafana's own variables by our names, and its longer forms of naming one.
fn given(expr: &str) -> String {
    let mut out = expr
        .replace("${__rate_interval}", "$__rate_interval")
        .replace("${__interval}", "$__interval")
        .replace("${__range_s}s", "$__range");
    // `${name:regex}` is `${name}`: how it is written follows from where it stands. `[[name]]` is the oldest form.
    while let Some(open) = out.find("${") {
        let Some(close) = out[open..].find('}').map(|at| open + at) else { break };
        let name = out[open + 2..close].split(':').next().unwrap_or_default().to_owned();
        out.replace_range(open..=close, &format!("$\u{0}{name}\u{0}"));
    }
    let mut out = out
        .split('\u{0}')
        .enumerate()
        .map(|(at, piece)| if at % 2 == 1 { format!("{{{piece}}}") } else { piece.to_owned() })
        .collect::<String>();
    while let Some(open) = out.find("[[") {
        let Some(close) = out[open..].find("]]").map(|at| open + at) else { break };
        let name = out[open + 2..close].to_owned();
        out.replace_range(open..close + 2, &format!("${{{name}}}"));
    }
    out
}

fn style(source: &Value) -> Option<String> {
    let custom = &source["fieldConfig"]["defaults"]["custom"];
    let is_stacked = matches!(custom["stacking"]["mode"].as_str(), Some("normal" | "percent"))
        || source["stack"].as_bool() == Some(true);
    let is_bars = custom["drawStyle"].as_str() == Some("bars")
        || source["bars"].as_bool() == Some(true)
        || source["type"] == "barchart";
    let is_filled = custom["fillOpacity"].as_f64().unwrap_or(0.0) >= 10.0;
    let style = if is_bars {
        "bars"
    } else if is_stacked {
        "stack"
    } else if is_filled {
        "area"
    } else {
        return None;
    };
    Some(style.to_owned())
}

fn reduce(source: &Value) -> Reduce {
    let way = source["options"]["reduceOptions"]["calcs"][0].as_str().or_else(|| source["valueName"].as_str());
    match way {
        Some("sum" | "total") => Reduce::Sum,
        Some("mean" | "avg") => Reduce::Mean,
        Some("min") => Reduce::Min,
        Some("max") => Reduce::Max,
        _ => Reduce::Last,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn panel(kind: &str, expr: &str) -> Value {
        json!({
            "id": 1, "type": kind, "title": format!("A {kind}"), "gridPos": { "w": 12, "h": 8, "x": 0, "y": 0 },
            "fieldConfig": { "defaults": { "unit": "s", "custom": { "stacking": { "mode": "normal" } } }, "overrides": [] },
            "targets": [{ "expr": expr, "legendFormat": "{{job}}" }],
        })
    }

    #[test]
    fn queries_of_other_sources_are_left_out_and_variables_stand_for_their_first_value() {
        let mut of_logs = panel("timeseries", "sum(count_over_time({app=\"x\"}[1m]))");
        of_logs["datasource"] = json!({ "type": "loki", "uid": "l" });
        let mut plain = panel("stat", "sum(rate(x_total[$interval]))");
        plain["fieldConfig"]["defaults"]["unit"] = json!("short");
        plain["datasource"] = json!({ "type": "prometheus", "uid": "${DS}" });
        let source = json!({
            "templating": { "list": [
                { "type": "interval", "name": "interval", "query": "1m,5m" },
                { "type": "custom", "name": "stage", "query": "prod : p, dev" },
            ] },
            "links": [{ "title": "all", "url": "/" }],
            "panels": [of_logs, plain],
        });
        let taken = import(&source.to_string()).expect("a dashboard");
        let panels = &taken.dashboard.panels;
        assert_eq!((panels.len(), panels[0].kind, panels[0].unit.as_deref()), (1, Kind::Stat, Some("none")));
        assert_eq!(taken.dashboard.variables[1].values, ["p", "dev"]);
        assert_eq!(taken.notes.len(), 3, "{:?}", taken.notes);
        assert!(taken.notes[0].contains("a query of loki is left out"), "{:?}", taken.notes);
    }

    #[test]
    fn panels_variables_and_queries_are_taken_over() {
        let source = json!({
            "title": "API", "time": { "from": "now-6h", "to": "now" },
            "templating": { "list": [
                { "type": "query", "name": "job", "query": { "query": "label_values(up, job)" }, "includeAll": true },
                { "type": "custom", "name": "size", "query": "1m, 5m", "current": { "value": "5m" } },
                { "type": "datasource", "name": "ds", "query": "prometheus" },
            ] },
            "panels": [
                panel("timeseries", "rate(x_total{job=~\"${job:regex}\"}[$__rate_interval])"),
                { "type": "row", "title": "More", "panels": [panel("stat", "up{job=~\"[[job]]\"}")] },
                { "type": "text", "title": "", "options": { "content": "- one\n- two" } },
            ],
        });
        let taken = import(&source.to_string()).expect("a dashboard");
        assert_eq!(taken.notes, ["panel “More”: rows are not kept: its panels stand behind each other"]);
        let dashboard = &taken.dashboard;
        assert_eq!((dashboard.title.as_str(), dashboard.range.as_deref()), ("API", Some("-6h")));
        assert_eq!(dashboard.variables[0].metric_label, "job");
        assert_eq!((dashboard.variables[0].of.as_str(), dashboard.variables[1].default.as_deref()), ("up", Some("5m")));
        let first = &dashboard.panels[0];
        assert_eq!(
            (first.width, first.height, first.unit.as_deref(), first.style.as_deref()),
            (6, 3, Some("s"), Some("stack"))
        );
        assert_eq!(first.queries[0].promql.as_deref(), Some("rate(x_total{job=~\"${job}\"}[$__rate_interval])"));
        assert_eq!(dashboard.panels[1].kind, Kind::Stat);
        assert_eq!(dashboard.panels[1].queries[0].promql.as_deref(), Some("up{job=~\"${job}\"}"));
        let written = dashboard.yaml();
        assert_eq!(super::super::read(&written).expect("a valid file"), *dashboard, "{written}");
    }

    #[test]
    fn what_cannot_be_taken_over_is_told_panel_by_panel() {
        let source = json!({ "panels": [
            panel("geomap", "up"),
            panel("timeseries", "rate("),
            panel("stat", "up{zone=\"$zone\"}"),
            { "type": "graph", "title": "SQL", "targets": [{ "rawSql": "SELECT 1", "datasource": { "type": "mysql" } }] },
            { "type": "graph", "title": "Good", "targets": [{ "expr": "up" }], "transformations": [{}], "repeat": "zone" },
        ], "templating": { "list": [{ "type": "adhoc", "name": "filters" }] } });
        let taken = import(&source.to_string()).expect("a dashboard");
        assert_eq!(taken.dashboard.panels.len(), 1);
        for expected in
            ["geomap", "`rate(` is left out", "variable zone", "mysql", "transformations", "repeated", "adhoc"]
        {
            assert!(taken.notes.iter().any(|note| note.contains(expected)), "{expected}: {:#?}", taken.notes);
        }
        assert!(import("{").expect_err("no JSON").starts_with("this is not JSON"));
        assert!(import("{\"a\":1}").is_err());
    }

    #[test]
    fn older_dashboards_with_rows_are_read() {
        let source = json!({ "title": "Old", "rows": [{ "panels": [
            { "type": "graph", "title": "CPU", "span": 4, "stack": true, "yaxes": [{ "format": "percent" }], "targets": [{ "expr": "cpu" }] },
            { "type": "singlestat", "title": "Up", "span": 8, "valueName": "avg", "targets": [{ "expr": "up" }] },
        ] }] });
        let panels = import(&source.to_string()).expect("a dashboard").dashboard.panels;
        assert_eq!(
            (panels[0].width, panels[0].unit.as_deref(), panels[0].style.as_deref()),
            (4, Some("percent"), Some("stack"))
        );
        assert_eq!((panels[1].kind, panels[1].value, panels[1].width), (Kind::Stat, Reduce::Mean, 8));
    }
}
