//! Where values come from: the defaults, the file, the environment, flags; the later wins.

use super::Settings;
use anyhow::{Context as _, anyhow, bail};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value as Json;
use serde_saphyr::Spanned;
use std::collections::BTreeMap;
use std::path::Path;

/// The sections, whose variables begin with `MANGRU_` and their name.
const SECTIONS: [&str; 7] = ["otlp", "correlation", "store", "objects", "retention", "query", "alerts"];

/// Settings as they were given, and where each that is not a default was given.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(super) settings: Settings,
    /// `mangru.yaml:7`, `MANGRU_HTTP` or `--http` by key, such as `otlp.grpc`.
    pub(super) places: BTreeMap<String, String>,
}

/// Reads the file, if one is given, and lets the environment override single values.
pub(crate) fn load(file: Option<&Path>, environment: &BTreeMap<String, String>) -> anyhow::Result<Given> {
    let mut given = match file {
        None => Given { settings: Settings::default(), places: BTreeMap::new() },
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            read(&path.display().to_string(), &text)?
        }
    };
    given.settings = overridden(&given.settings, environment, &mut given.places)?;
    Ok(given)
}

impl Given {
    /// Lets a flag override a value.
    pub(crate) fn flag(&mut self, flag: &str, key: &str, put: impl FnOnce(&mut Settings)) {
        put(&mut self.settings);
        self.places.insert(key.to_owned(), flag.to_owned());
    }
}

fn read(name: &str, text: &str) -> anyhow::Result<Given> {
    if text.trim().is_empty() {
        return Ok(Given { settings: Settings::default(), places: BTreeMap::new() });
    }
    let lines = lines(text);
    let settings = serde_saphyr::from_str(text).map_err(|error| {
        let Some(place) = error.location() else { return anyhow!("{name}: {error}") };
        let key = lines.iter().find(|(key, line)| **line == place.line() && key.contains('.'));
        let key = key.map(|(key, _)| format!("{key}: ")).unwrap_or_default();
        let message = error.without_snippet().to_string();
        // The message says its place once more, in front or at the end.
        let message =
            message.split_once(": ").filter(|(place, _)| place.contains("line ")).map_or(&*message, |(_, m)| m);
        let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
        anyhow!("{name}:{}:{}: {key}{message}", place.line(), place.column())
    })?;
    let places = lines.into_iter().map(|(key, line)| (key, format!("{name}:{line}"))).collect();
    Ok(Given { settings, places })
}

/// The line of each value. Of a file that is not two levels of keys, nothing is known.
fn lines(text: &str) -> BTreeMap<String, u64> {
    type Section = BTreeMap<String, Spanned<IgnoredAny>>;
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Places {
        data_dir: Option<Spanned<IgnoredAny>>,
        http: Option<Spanned<IgnoredAny>>,
        otlp: Section,
        correlation: Section,
        store: Section,
        objects: Section,
        retention: Section,
        query: Section,
        alerts: Section,
    }
    let Ok(places) = serde_saphyr::from_str::<Places>(text) else { return BTreeMap::new() };
    let mut lines = BTreeMap::new();
    for (key, place) in [("data_dir", places.data_dir), ("http", places.http)] {
        lines.extend(place.map(|place| (key.to_owned(), place.referenced.line())));
    }
    let sections =
        [places.otlp, places.correlation, places.store, places.objects, places.retention, places.query, places.alerts];
    for (name, section) in SECTIONS.into_iter().zip(sections) {
        lines.extend(section.into_iter().map(|(key, place)| (format!("{name}.{key}"), place.referenced.line())));
    }
    lines
}

/// `MANGRU_STORE_SEAL_ROWS` and the like, the key in capitals, override each value there is. Lists are parted by commas.
fn overridden(
    settings: &Settings,
    environment: &BTreeMap<String, String>,
    places: &mut BTreeMap<String, String>,
) -> anyhow::Result<Settings> {
    let mut values = serde_json::to_value(settings).context("cannot write the settings as JSON")?;
    let mut known = Vec::new();
    for (name, value) in values.as_object_mut().into_iter().flatten() {
        match value {
            Json::Object(section) => {
                for (key, value) in section {
                    known.push(put(&format!("{name}.{key}"), value, environment, places)?);
                }
            }
            value => known.push(put(name, value, environment, places)?),
        }
    }
    let of_a_section = |variable: &str| {
        let rest = variable.strip_prefix("MANGRU_").unwrap_or_default().to_lowercase();
        SECTIONS.iter().any(|section| rest.strip_prefix(section).is_some_and(|rest| rest.starts_with('_')))
    };
    if let Some(unknown) = environment.keys().find(|variable| of_a_section(variable) && !known.contains(variable)) {
        bail!("{unknown} is no setting; those of its section are {}", {
            let section = unknown.splitn(3, '_').take(2).collect::<Vec<_>>().join("_");
            let similar: Vec<&str> =
                known.iter().filter(|variable| variable.starts_with(&section)).map(String::as_str).collect();
            similar.join(", ")
        });
    }
    serde_json::from_value(values).context("cannot use the environment's settings")
}

/// Puts a variable's text in the place of a value of the same kind. Gives the variable's name.
fn put(
    key: &str,
    value: &mut Json,
    environment: &BTreeMap<String, String>,
    places: &mut BTreeMap<String, String>,
) -> anyhow::Result<String> {
    let variable = format!("MANGRU_{}", key.replace('.', "_").to_uppercase());
    let Some(text) = environment.get(&variable) else { return Ok(variable) };
    *value = match value {
        Json::Number(_) => {
            let number: u64 =
                text.trim().parse().ok().with_context(|| format!("{variable} is `{text}`, not a whole number"))?;
            number.into()
        }
        Json::Bool(_) => {
            let flag: bool =
                text.trim().parse().ok().with_context(|| format!("{variable} is `{text}`, not true or false"))?;
            flag.into()
        }
        Json::Array(_) => text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect(),
        _ => text.as_str().into(),
    };
    places.insert(key.to_owned(), variable.clone());
    Ok(variable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn an_unknown_key_is_named_with_file_and_line() {
        let error = read("a.yaml", "http: 127.0.0.1:1\nstore:\n  seal_rowz: 5\n").expect_err("unknown key").to_string();
        assert!(error.starts_with("a.yaml:3:3: store.seal_rowz: unknown field `seal_rowz`, "), "{error}");
        assert!(!error.contains(" line "), "{error}");
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_named_with_file_line_and_key() {
        let error = read("a.yaml", "store:\n  seal_rows: many\n").expect_err("no number").to_string();
        assert!(error.starts_with("a.yaml:2:14: store.seal_rows: "), "{error}");
    }

    #[test]
    fn broken_yaml_is_named_with_file_and_line() {
        let error = read("a.yaml", "http: x\notlp: [1\n").expect_err("no YAML").to_string();
        assert!(error.starts_with("a.yaml:") && !error.contains("<input>"), "{error}");
    }

    #[test]
    fn an_empty_file_is_the_defaults() {
        let defaults = Settings::default().text();
        assert_eq!(read("a.yaml", "# nothing\n").expect("readable").settings.text(), defaults);
        assert_eq!(read("a.yaml", "").expect("readable").settings.text(), defaults);
    }

    #[test]
    fn every_setting_has_a_variable_of_its_own() {
        let changed = [
            ("MANGRU_DATA_DIR", "/data"),
            ("MANGRU_HTTP", "127.0.0.1:1"),
            ("MANGRU_OTLP_MAX_GRPC_MIB", "7"),
            ("MANGRU_OTLP_CORS_ORIGINS", "https://a.example, https://b.example"),
            ("MANGRU_CORRELATION_BODY_PATTERN", "id=(\\w+)"),
            ("MANGRU_CORRELATION_LOOK_INTO_BODIES", "false"),
            ("MANGRU_STORE_SEAL_SECONDS", "9"),
            ("MANGRU_QUERY_CONCURRENCY", "3"),
        ];
        let settings = load(None, &variables(&changed)).expect("readable").settings;
        assert_eq!(settings.data_dir.as_deref(), Some(Path::new("/data")));
        assert_eq!(settings.http, "127.0.0.1:1");
        assert_eq!(settings.otlp.max_grpc_mib, 7);
        assert_eq!(settings.otlp.cors_origins, ["https://a.example", "https://b.example"]);
        assert_eq!(settings.correlation.body_pattern.as_deref(), Some("id=(\\w+)"));
        assert!(!settings.correlation.look_into_bodies);
        assert_eq!((settings.store.seal_seconds, settings.query.concurrency), (9, 3));
    }

    #[test]
    fn a_variable_of_a_section_that_is_no_setting_is_refused() {
        let error = load(None, &variables(&[("MANGRU_STORE_SEAL_ROWZ", "1")])).expect_err("unknown").to_string();
        assert!(error.contains("MANGRU_STORE_SEAL_ROWZ") && error.contains("MANGRU_STORE_SEAL_ROWS"), "{error}");
        // What an orchestrator sets for a service of this name is none of ours.
        load(None, &variables(&[("MANGRU_SERVICE_HOST", "10.0.0.1"), ("MANGRU_PORT", "tcp://10.0.0.1:1")]))
            .expect("fine");
    }
    #[test]
    fn the_guide_and_the_example_name_every_setting() {
        let root = Path::new(".");
        let guide = std::fs::read_to_string(root.join("docs/configuration.md")).expect("guide");
        let example = std::fs::read_to_string(root.join("deploy/mangru.yaml")).expect("example");
        let example = lines(&example);
        let values = serde_json::to_value(Settings::default()).expect("JSON");
        for (name, value) in values.as_object().expect("settings") {
            let keys: Vec<(String, &Json)> = match value {
                Json::Object(section) => section.iter().map(|(key, value)| (format!("{name}.{key}"), value)).collect(),
                _ => vec![(name.clone(), value)],
            };
            for (key, value) in keys {
                assert!(guide.contains(&format!("`{key}`")), "docs/configuration.md does not tell of {key}");
                // Some have no default to show.
                assert!(example.contains_key(&key) || value.is_null(), "{key} is not in the example");
            }
        }
    }
}
