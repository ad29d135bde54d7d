//! Reading a dashboard, and whether it can be shown.

use super::variables::{self, Chosen, Given};
use super::{COLUMNS, Dashboard, Kind, MAX_HEIGHT, Panel, Query, RowSignal, Variable};
use crate::chart::plot::Style;
use crate::config_files::{Fault, from_yaml};
use crate::unit::Unit;
use mangru_query::QueryError;
use mangru_store::Signal;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::Spanned;
use std::collections::BTreeMap;

const MAX_PANELS: usize = 60;
const MAX_VARIABLES: usize = 20;
const MAX_QUERIES: usize = 8;
const MAX_ROWS: usize = 500;

/// Reads a dashboard; everything that is wrong with it is told at once.
pub(crate) fn read(text: &str) -> Result<Dashboard, Vec<Fault>> {
    let dashboard: Dashboard = from_yaml(text)?;
    let lines = Lines::of(text);
    let mut faults = Faults { lines, found: Vec::new() };
    faults.dashboard(&dashboard);
    if faults.found.is_empty() { Ok(dashboard) } else { Err(faults.found) }
}

type Keys = BTreeMap<String, Spanned<IgnoredAny>>;

/// The lines of keys.
#[derive(Default)]
struct Lines {
    top: Keys,
    variables: Vec<Keys>,
    panels: Vec<Keys>,
    queries: Vec<Vec<Keys>>,
}

impl Lines {
    fn of(text: &str) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Lists {
            variables: Vec<Keys>,
            panels: Vec<Keys>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Queries {
            queries: Vec<Keys>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct PanelQueries {
            panels: Vec<Queries>,
        }
        // What was read once is read again; a document that cannot be has no lines.
        let lists: Lists = serde_saphyr::from_str(text).unwrap_or_default();
        let queries: PanelQueries = serde_saphyr::from_str(text).unwrap_or_default();
        Self {
            top: serde_saphyr::from_str(text).unwrap_or_default(),
            variables: lists.variables,
            panels: lists.panels,
            queries: queries.panels.into_iter().map(|panel| panel.queries).collect(),
        }
    }
}

/// The line of a key; that of the first key beside it when it is not there.
fn line(keys: Option<&Keys>, key: &str) -> u64 {
    let Some(keys) = keys else { return 0 };
    let at = |place: &Spanned<IgnoredAny>| place.referenced.line();
    keys.get(key).map(at).or_else(|| keys.values().map(at).min()).unwrap_or(0)
}

struct Faults {
    lines: Lines,
    found: Vec<Fault>,
}

impl Faults {
    fn dashboard(&mut self, dashboard: &Dashboard) {
        let top = |faults: &mut Self, key: &str, message: String| {
            let line = line(Some(&faults.lines.top), key);
            faults.found.push(Fault::new(line, key, message));
        };
        if dashboard.title.trim().is_empty() {
            top(self, "title", "a dashboard needs a title".to_owned());
        }
        if let Some(range) = &dashboard.range
            && !crate::time_choice::is_relative_start(range)
        {
            top(self, "range", format!("`{range}` is not a relative range such as -1h, -15m or -7d"));
        }
        for (key, count, most) in
            [("panels", dashboard.panels.len(), MAX_PANELS), ("variables", dashboard.variables.len(), MAX_VARIABLES)]
        {
            if count > most {
                top(self, key, format!("{count} {key}, allowed are {most}"));
            }
        }
        for (number, variable) in dashboard.variables.iter().enumerate() {
            for (key, message) in variable_faults(variable, &dashboard.variables[..number]) {
                let line = line(self.lines.variables.get(number), key);
                self.found.push(Fault::new(line, format!("variables[{number}].{key}"), message));
            }
        }
        let known: Vec<&str> = dashboard.variables.iter().map(|variable| variable.name.as_str()).collect();
        for (number, panel) in dashboard.panels.iter().enumerate() {
            for (key, message) in panel_faults(panel) {
                let line = line(self.lines.panels.get(number), key);
                self.found.push(Fault::new(line, format!("panels[{number}].{key}"), message));
            }
            for (at, query) in panel.queries.iter().enumerate() {
                for (key, message) in query_faults(panel, query, &known) {
                    let line = line(self.lines.queries.get(number).and_then(|queries| queries.get(at)), key);
                    self.found.push(Fault::new(line, format!("panels[{number}].queries[{at}].{key}"), message));
                }
            }
        }
    }
}

type Wrong = (&'static str, String);

fn variable_faults(variable: &Variable, before: &[Variable]) -> Vec<Wrong> {
    let mut faults = Vec::new();
    let name = variable.name.as_str();
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !is_name {
        faults.push(("name", format!("`{name}` is not a name: letters, digits and _, a letter first")));
    }
    if variables::is_given(name) {
        faults.push(("name", format!("`{name}` is given by the dashboard itself")));
    }
    if before.iter().any(|other| other.name == name) {
        faults.push(("name", format!("there are two variables `{name}`")));
    }
    let sources = [!variable.values.is_empty(), !variable.field.is_empty(), !variable.metric_label.is_empty()];
    if sources.iter().filter(|is_there| **is_there).count() != 1 {
        faults.push(("name", format!("variable `{name}` needs exactly one of values, field and metric_label")));
    }
    if !variable.of.is_empty() && variable.metric_label.is_empty() {
        faults.push(("of", "is for metric_label".to_owned()));
    }
    if let Some(default) = &variable.default
        && !variable.values.is_empty()
        && !variable.values.contains(default)
    {
        faults.push(("default", format!("`{default}` is not one of the values")));
    }
    faults
}

fn panel_faults(panel: &Panel) -> Vec<Wrong> {
    let mut faults = Vec::new();
    if !(1..=COLUMNS).contains(&panel.width) {
        faults.push(("width", format!("{} columns, allowed are 1 to {COLUMNS}", panel.width)));
    }
    if !(1..=MAX_HEIGHT).contains(&panel.height) {
        faults.push(("height", format!("{} rows, allowed are 1 to {MAX_HEIGHT}", panel.height)));
    }
    if let Some(unit) = panel.unit.as_deref().filter(|unit| Unit::named(unit).is_none()) {
        let known = Unit::ALL.map(|(name, _)| name).join(", ");
        faults.push(("unit", format!("`{unit}` is not a unit, there are {known}")));
    }
    if let Some(style) = panel.style.as_deref().filter(|style| Style::named(style).is_none()) {
        let known = Style::ALL.map(|(name, _)| name).join(", ");
        faults.push(("style", format!("`{style}` is not a style, there are {known}")));
    }
    if panel.limit.is_some_and(|limit| !(1..=MAX_ROWS).contains(&limit)) {
        faults.push(("limit", format!("{} rows, allowed are 1 to {MAX_ROWS}", panel.limit.unwrap_or(0))));
    }
    let queries = panel.queries.len();
    let kind = panel.kind.name();
    match panel.kind {
        Kind::Text if panel.text.trim().is_empty() => faults.push(("text", "a text panel needs a text".to_owned())),
        Kind::Text if queries > 0 => faults.push(("queries", "a text panel asks nothing".to_owned())),
        Kind::Map if queries > 1 => faults.push(("queries", "a map has one search at most".to_owned())),
        Kind::Text | Kind::Map => {}
        Kind::Logs | Kind::Heatmap if queries != 1 => {
            faults.push(("queries", format!("a panel of kind {kind} has exactly one query, here are {queries}")));
        }
        _ if queries == 0 => faults.push(("queries", format!("a panel of kind {kind} needs a query"))),
        _ if queries > MAX_QUERIES => {
            faults.push(("queries", format!("{queries} queries, allowed are {MAX_QUERIES}")));
        }
        _ => {}
    }
    if !panel.text.is_empty() && panel.kind != Kind::Text {
        faults.push(("text", format!("is for panels of kind text, this one is a {kind}")));
    }
    for link in &panel.links {
        if !is_safe_url(&link.url) {
            faults
                .push(("links", format!("`{}` is neither a path such as /logs?q=x nor an http(s) address", link.url)));
        }
    }
    faults
}

/// Whether an address leads to a page: of ours, or of the web. Nothing that runs.
pub(crate) fn is_safe_url(url: &str) -> bool {
    let is_ours = url.starts_with('/') && !url.starts_with("//") && !url.contains('\\');
    let lower = url.to_ascii_lowercase();
    (is_ours || lower.starts_with("https://") || lower.starts_with("http://")) && !url.contains(char::is_control)
}

fn query_faults(panel: &Panel, query: &Query, known: &[&str]) -> Vec<Wrong> {
    let mut faults = Vec::new();
    let texts = [("promql", &query.promql), ("search", &query.search), ("sql", &query.sql)];
    let given: Vec<(&'static str, &str)> =
        texts.iter().filter_map(|(name, text)| Some((*name, text.as_deref()?))).collect();
    let [(language, text)] = given[..] else {
        faults.push(("promql", "a query is exactly one of promql, search and sql".to_owned()));
        return faults;
    };
    for name in variables::named_in(text) {
        if !known.contains(&name.as_str()) && !variables::is_given(&name) {
            faults.push((language, format!("${name} is not a variable of this dashboard")));
        }
    }
    if language != "search" {
        for (key, is_there) in
            [("signal", query.signal.is_some()), ("field", query.field.is_some()), ("by", query.by.is_some())]
        {
            if is_there {
                faults.push((key, format!("is for searches, this is {language}")));
            }
        }
        if query.figure != super::Figure::Count {
            faults.push(("figure", format!("is for searches, this is {language}")));
        }
    }
    let wanted = match panel.kind {
        Kind::Logs | Kind::Map => Some("search"),
        _ => None,
    };
    if let Some(wanted) = wanted.filter(|wanted| *wanted != language) {
        faults.push((language, format!("a panel of kind {} asks a {wanted}, not {language}", panel.kind.name())));
        return faults;
    }
    if panel.kind == Kind::Heatmap && language == "sql" {
        faults.push((language, "a heat map asks promql (buckets of a histogram) or a search".to_owned()));
    }
    // Variables stand for values: with some in their places the query must parse.
    let filled = variables::filled(text, language, &|_| Some(Chosen::One("x".to_owned())), Given::EXAMPLE);
    let checked = match language {
        "promql" => mangru_query::check_promql(&filled),
        "search" => {
            let signal = match panel.kind {
                Kind::Logs => Signal::Logs,
                Kind::Map => Signal::Spans,
                _ => query.signal.unwrap_or(RowSignal::Logs).signal(),
            };
            mangru_query::check_search(&filled, signal)
        }
        _ => Ok(()),
    };
    if let Err(QueryError { message, .. }) = checked {
        faults.push((language, message));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        read(text).expect_err("it has faults").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn everything_that_is_wrong_is_told_with_line_and_key() {
        let faults = told(
            "title: A\nrange: tomorrow\nvariables:\n  - name: 1x\n    values: [a]\npanels:\n  - title: One\n    width: 13\n    unit: parsecs\n    queries:\n      - promql: rate(x[\n      - search: (a\n        by: x\n      - promql: up{job=\"$nobody\"}\n  - kind: text\n",
        );
        let expected = [
            "line 2: range: `tomorrow`",
            "line 4: variables[0].name: `1x`",
            "line 8: panels[0].width: 13 columns",
            "line 9: panels[0].unit: `parsecs`",
            "line 11: panels[0].queries[0].promql: ",
            "line 12: panels[0].queries[1].search: ",
            "line 14: panels[0].queries[2].promql: $nobody",
            "line 15: panels[1].text: a text panel needs a text",
        ];
        assert_eq!(faults.len(), expected.len(), "{faults:#?}");
        for (fault, expected) in faults.iter().zip(expected) {
            assert!(fault.starts_with(expected), "{fault} is not {expected}");
        }
    }

    #[test]
    fn unknown_keys_and_wrong_types_are_told_with_their_line() {
        let faults = told("title: A\npanels:\n  - titel: One\n");
        assert!(faults[0].starts_with("line 3: ") && faults[0].contains("titel"), "{faults:?}");
        let faults = told("title: A\npanels:\n  - width: wide\n");
        assert!(faults[0].starts_with("line 3: "), "{faults:?}");
        assert!(told("title: [\n")[0].starts_with("line "));
    }

    #[test]
    fn links_lead_to_pages_and_run_nothing() {
        for good in ["/logs?q=x", "https://example.org/runbook", "HTTP://a"] {
            assert!(is_safe_url(good), "{good}");
        }
        for bad in ["javascript:alert(1)", "//evil", "data:text/html,x", "/\\evil", "logs", " javascript:x", "/a\nb"] {
            assert!(!is_safe_url(bad), "{bad}");
        }
    }

    #[test]
    fn the_ready_made_ones_have_no_fault() {
        for made in super::super::READY_MADE.iter() {
            if let Err(faults) = read(&made.text) {
                panic!("{}: {faults:#?}", made.name);
            }
            assert!(made.dashboard.is_some(), "{}", made.name);
        }
    }
}
