//! Saved searches: a search of logs or traces with its columns and facets, one YAML file each.

use crate::config_files::{Fault, from_yaml};
use crate::params::Params;
use crate::yaml::Writer;
use serde::Deserialize;

/// A search that a person kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SavedSearch {
    /// What it is called.
    pub(crate) title: String,
    /// What it is for.
    #[serde(default)]
    pub(crate) description: String,
    /// Where it searches.
    #[serde(default)]
    pub(crate) screen: SearchScreen,
    /// The search; empty finds all.
    #[serde(default)]
    pub(crate) query: String,
    /// `rows` or `patterns`.
    #[serde(default)]
    pub(crate) view: SearchView,
    /// Columns beside those that are always shown.
    #[serde(default)]
    pub(crate) columns: Vec<String>,
    /// Facets beside those that are always shown.
    #[serde(default)]
    pub(crate) facets: Vec<String>,
    /// A relative range such as `-1h`; that of the screen without it.
    #[serde(default)]
    pub(crate) range: Option<String>,
}

/// The screen of a search.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SearchScreen {
    #[default]
    Logs,
    Traces,
}

/// How logs are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SearchView {
    #[default]
    Rows,
    Patterns,
}

/// Reads a file.
pub(crate) fn read(text: &str) -> Result<SavedSearch, Vec<Fault>> {
    let search: SavedSearch = from_yaml(text)?;
    let line_of = |key: &str| {
        text.lines()
            .position(|line| line.starts_with(key) && line[key.len()..].starts_with(':'))
            .map_or(0, |at| at as u64 + 1)
    };
    let mut faults = Vec::new();
    if search.title.trim().is_empty() {
        faults.push(Fault::new(line_of("title"), "title", "a saved search needs a title"));
    }
    if let Some(range) = &search.range
        && !crate::time_choice::is_relative_start(range)
    {
        let message = format!("`{range}` is not a relative range such as -1h, -15m or -7d");
        faults.push(Fault::new(line_of("range"), "range", message));
    }
    if faults.is_empty() { Ok(search) } else { Err(faults) }
}

impl SavedSearch {
    /// The search that an address of `/logs` shows.
    pub(crate) fn of_params(params: &Params) -> Self {
        let range = params
            .get("start")
            .filter(|start| crate::time_choice::is_relative_start(start) && params.get("end").is_none());
        Self {
            title: String::new(),
            description: String::new(),
            screen: SearchScreen::Logs,
            query: params.get("q").unwrap_or("").trim().to_owned(),
            view: if params.get("view") == Some("patterns") { SearchView::Patterns } else { SearchView::Rows },
            columns: params.all("col").map(str::to_owned).collect(),
            facets: params.all("facet").map(str::to_owned).collect(),
            range: range.map(str::to_owned),
        }
    }

    /// Where it leads; `time` is the range of the screen it is chosen on, used where it has none of its own.
    pub(crate) fn address(&self, time: &Params) -> String {
        let mut params = match &self.range {
            Some(range) => Params::default().with("start", range),
            None => time.clone(),
        };
        if !self.query.is_empty() {
            params = params.with("q", &self.query);
        }
        if self.view == SearchView::Patterns {
            params = params.with("view", "patterns");
        }
        for column in &self.columns {
            params = params.and("col", column);
        }
        for facet in &self.facets {
            params = params.and("facet", facet);
        }
        params.on(match self.screen {
            SearchScreen::Logs => "/logs",
            SearchScreen::Traces => "/traces",
        })
    }

    /// The file that says this.
    pub(crate) fn yaml(&self) -> String {
        let mut out = Writer::default();
        out.text("title", &self.title);
        if !self.description.is_empty() {
            out.text("description", &self.description);
        }
        if self.screen == SearchScreen::Traces {
            out.text("screen", "traces");
        }
        out.text("query", &self.query);
        if self.view == SearchView::Patterns {
            out.text("view", "patterns");
        }
        if !self.columns.is_empty() {
            out.texts("columns", &self.columns);
        }
        if !self.facets.is_empty() {
            out.texts("facets", &self.facets);
        }
        if let Some(range) = &self.range {
            out.text("range", range);
        }
        out.finish()
    }
}

/// A name for the file of a search or a dashboard: its words in lower case.
pub(crate) fn file_name(title: &str) -> String {
    let words: Vec<String> =
        title.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect();
    let name: String = words.join("-").chars().take(60).collect();
    if name.is_empty() { "unnamed".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_leads_to_where_it_came_from() {
        let params = Params::parse(
            "q=level%3Aerror+%22card+declined%22+%23+%3A+%27&col=order.id&facet=http.route&start=-1h&view=patterns",
        );
        let search =
            SavedSearch { title: "Cards: declined \"today\" #1".to_owned(), ..SavedSearch::of_params(&params) };
        let again = read(&search.yaml()).expect("a valid file");
        assert_eq!(again, search);
        let (_, query) = again
            .address(&Params::default())
            .split_once('?')
            .map(|(path, query)| (path.to_owned(), query.to_owned()))
            .expect("params");
        let led = Params::parse(&query);
        assert_eq!(SavedSearch { title: search.title.clone(), ..SavedSearch::of_params(&led) }, search);
    }

    #[test]
    fn faults_have_their_line_and_key() {
        let faults = read("title: ''\nquery: x\nrange: yesterday\n").expect_err("two faults");
        assert_eq!((faults[0].line, faults[0].key.as_str()), (1, "title"));
        assert_eq!((faults[1].line, faults[1].key.as_str()), (3, "range"));
        let faults = read("title: a\nqeury: x\n").expect_err("an unknown field");
        assert_eq!(faults[0].line, 2, "{faults:?}");
        assert!(faults[0].message.contains("qeury"), "{faults:?}");
    }

    #[test]
    fn names_of_files_are_tame() {
        assert_eq!(file_name("Cards: declined! 결제 ../../etc"), "cards-declined-결제-etc");
        assert_eq!(file_name("///"), "unnamed");
    }
}
