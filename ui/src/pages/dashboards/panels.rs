//! The panels of a dashboard on their grid. What is wrong with one is shown in it, and nowhere else.

use super::Shown;
use crate::answers::{self, Labelled, VALUE};
use crate::chart::heat::{Heat, heat};
use crate::chart::plot::{Event, MAX_SERIES, Plot, Series, Size, Threshold, plot};
use crate::chart::sparkline::sparkline;
use crate::clock::{Show, row_time};
use crate::dashboards::panel_data::{self, Content, Filled};
use crate::dashboards::{Kind, Panel};
use crate::format;
use crate::pages::alerts::elsewhere::AlertHistory;
use crate::palette::Severity;
use crate::parts;
use crate::request::PageRequest;
use crate::text::{tr, trf};
use crate::unit::Unit;
use leptos::prelude::*;
use mangru_query::{LogRow, Page, ServiceMap, SqlResult};
use serde_json::Value;

/// Bars and numbers of one panel.
const BARS: usize = 20;
const STATS: usize = 12;

/// All panels.
pub(super) fn grid(request: &PageRequest, shown: &Shown) -> AnyView {
    let panels: Vec<_> = shown.panels.iter().map(|filled| panel(request, filled, &shown.alerts)).collect();
    view! { <div class="dash">{panels}</div> }.into_any()
}

fn panel(request: &PageRequest, filled: &Filled, alerts: &AlertHistory) -> AnyView {
    let panel = &filled.panel;
    let class = format!("dash-panel w-{} h-{} kind-{}", panel.width, panel.height, panel.kind.name());
    let body = match &filled.content {
        Err((text, error)) => parts::error(text, error),
        Ok(content) => content_view(request, filled, content, alerts),
    };
    let explore = panel_data::explorer(filled, &request.time.params())
        .map(|address| view! { <a class="explore" href=address title=tr("Open in its explorer") aria-label=trf("Open {0} in its explorer", &[&panel.title])>"↗"</a> });
    let links: Vec<_> = panel
        .links
        .iter()
        .filter(|link| crate::dashboards::is_safe_url(&link.url))
        .map(|link| view! { <a href=link.url.clone() rel="noreferrer">{link.title.clone()}</a> })
        .collect();
    let cut = filled.limit_hit.as_ref().map(|why| view! { <strong class="warning" title=why.clone()>"⚠"</strong> });
    let name = if panel.title.is_empty() { panel.kind.name().to_owned() } else { panel.title.clone() };
    // What it means, and how long it took: under the pointer.
    let about = format!("{} ({:.0} ms)", panel.description, filled.elapsed_ms).trim().to_owned();
    let title = (!panel.title.is_empty() || explore.is_some()).then(|| {
        view! {
            <div class="dash-title">
                <h2 title=about>{panel.title.clone()}</h2>
                {cut}<span class="dash-links">{links}{explore}</span>
            </div>
        }
    });
    view! { <section class=class aria-label=name>{title}<div class="dash-body">{body}</div></section> }.into_any()
}

fn content_view(request: &PageRequest, filled: &Filled, content: &Content, alerts: &AlertHistory) -> AnyView {
    let panel = &filled.panel;
    match content {
        Content::Text => words(&panel.text),
        Content::Rows(result) => rows(result),
        Content::Logs(page) => lines(request, panel, page),
        Content::Map(map) => map_view(request, filled, map),
        Content::Heat { columns, step_ns, rows } => heat(&Heat {
            what: panel.title.clone(),
            range: request.time.range,
            columns: columns.clone(),
            step_ns: *step_ns,
            rows: rows.clone(),
            size: size_of(panel),
            zoom: Some((&request.path, &request.params)),
        }),
        Content::Series { series, step_ns, unit } => match panel.kind {
            Kind::Stat => stats(panel, series, *unit),
            Kind::Bar => bars(panel, series, *unit),
            Kind::Table => values(panel, series, *unit),
            _ => {
                let asked = filled.asked.iter().filter_map(|query| query.promql.as_deref());
                chart(request, panel, series, *step_ns, *unit, alerts.of_queries(request, asked))
            }
        },
    }
}

fn chart(
    request: &PageRequest,
    panel: &Panel,
    series: &[(String, Labelled)],
    step_ns: i64,
    unit: Unit,
    events: Vec<Event>,
) -> AnyView {
    let mut all: Vec<Series> = series
        .iter()
        .map(|(label, series)| Series {
            label: format::clipped(label, 80),
            class: class_of(series),
            points: series.points.clone(),
        })
        .collect();
    let left_out = all.len().saturating_sub(MAX_SERIES);
    all.truncate(MAX_SERIES);
    let thresholds =
        panel.thresholds.iter().map(|line| Threshold { value: line.value, label: line.label.clone() }).collect();
    let drawn = plot(Plot {
        style: panel.style(),
        series: all,
        step_ns,
        thresholds,
        events,
        zoom: Some((&request.path, &request.params)),
        size: size_of(panel),
        ..Plot::new(panel.title.clone(), unit, request.time.range)
    });
    let warning = (left_out > 0)
        .then(|| view! { <p class="warning">{trf("⚠ {0} more series are not drawn", &[&left_out.to_string()])}</p> });
    view! { {drawn}{warning} }.into_any()
}

/// How much room a panel gives its chart.
const fn size_of(panel: &Panel) -> Size {
    if panel.width <= 6 { Size::Narrow } else { Size::Wide }
}

/// A series of a severity or of a service has their colour.
fn class_of(series: &Labelled) -> String {
    let mut labels = series.labels.iter().filter(|(name, _)| *name != VALUE && *name != "__name__");
    match (labels.next(), labels.next()) {
        (Some((name, value)), None) if name == "severity" || name == "level" || name == "severity_text" => {
            let known = Severity::ALL.into_iter().find(|severity| value.eq_ignore_ascii_case(severity.word()));
            known.map(Severity::class).unwrap_or_default()
        }
        (Some((name, value)), None) if name == "service.name" || name == "service_name" => {
            crate::palette::service_class(value)
        }
        _ => String::new(),
    }
}

/// Whether a value passes the highest threshold.
fn passes(panel: &Panel, value: f64) -> bool {
    let highest = panel.thresholds.iter().map(|line| line.value).fold(f64::NEG_INFINITY, f64::max);
    highest.is_finite() && value >= highest
}

fn stats(panel: &Panel, series: &[(String, Labelled)], unit: Unit) -> AnyView {
    if series.is_empty() {
        return view! { <p class="quiet no-values">{tr("No values in this range.")}</p> }.into_any();
    }
    let is_one = series.len() == 1;
    let numbers: Vec<_> = series
        .iter()
        .take(STATS)
        .map(|(name, series)| {
            let value = panel.value.of(series.points.iter().map(|(_, value)| *value));
            let is_bad = value.is_some_and(|value| passes(panel, value));
            let text = value.map_or_else(|| "–".to_owned(), |value| unit.text(value));
            let class = if is_bad { "dash-stat bad" } else { "dash-stat" };
            let mark = is_bad.then(|| view! { <span title=tr("beyond the threshold")>"▲ "</span> });
            let points: Vec<f64> =
                series.points.iter().map(|(_, value)| if value.is_finite() { *value } else { 0.0 }).collect();
            let spark = (points.len() > 2).then(|| sparkline(&points, if is_bad { "bad" } else { "calm" }));
            let name = (!is_one || (name != VALUE && *name != panel.title))
                .then(|| view! { <span class="stat-name">{name.clone()}</span> });
            view! { <div class=class><span class="stat-value">{mark}{text}</span>{name}{spark}</div> }
        })
        .collect();
    view! { <div class="dash-stats">{numbers}</div> }.into_any()
}

/// Series with one value each, the largest first.
fn reduced<'a>(panel: &Panel, series: &'a [(String, Labelled)]) -> Vec<(&'a str, &'a Labelled, f64)> {
    let mut all: Vec<(&str, &Labelled, f64)> = series
        .iter()
        .filter_map(|(name, series)| {
            Some((name.as_str(), series, panel.value.of(series.points.iter().map(|(_, value)| *value))?))
        })
        .collect();
    all.sort_by(|left, right| right.2.total_cmp(&left.2));
    all
}

fn bars(panel: &Panel, series: &[(String, Labelled)], unit: Unit) -> AnyView {
    let all = reduced(panel, series);
    let most = all.iter().map(|(_, _, value)| value.abs()).fold(0.0, f64::max);
    if all.is_empty() || most <= 0.0 {
        return view! { <p class="quiet no-values">{tr("No values in this range.")}</p> }.into_any();
    }
    let shown = panel.limit.unwrap_or(BARS);
    let rows: Vec<_> = all
        .iter()
        .take(shown)
        .map(|(name, _, value)| {
            let width = format!("{:.1}", (value.abs() / most * 100.0).max(0.3));
            let class = if passes(panel, *value) { "bar-fill bad" } else { "bar-fill" };
            let mark = passes(panel, *value).then_some("▲ ");
            view! {
                <tr><th scope="row">{(*name).to_owned()}</th>
                    <td class="bar-cell"><svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true"><rect class=class x="0" y="0" height="10" width=width></rect></svg></td>
                    <td class="num">{mark}{unit.text(*value)}</td></tr>
            }
        })
        .collect();
    let more = (all.len() > shown)
        .then(|| view! { <p class="quiet">{trf("and {0} more", &[&(all.len() - shown).to_string()])}</p> });
    view! { <table class="dense bars" aria-label=panel.title.clone()><tbody>{rows}</tbody></table>{more} }.into_any()
}

fn values(panel: &Panel, series: &[(String, Labelled)], unit: Unit) -> AnyView {
    let names: std::collections::BTreeSet<&str> = series
        .iter()
        .flat_map(|(_, series)| series.labels.keys().map(String::as_str))
        .filter(|name| *name != "__name__")
        .collect();
    let heads: Vec<_> = names.iter().map(|name| view! { <th scope="col">{(*name).to_owned()}</th> }).collect();
    let rows: Vec<_> = reduced(panel, series)
        .into_iter()
        .take(panel.limit.unwrap_or(100))
        .map(|(_, series, value)| {
            let cells: Vec<_> = names
                .iter()
                .map(|name| view! { <td>{series.labels.get(*name).cloned().unwrap_or_default()}</td> })
                .collect();
            view! { <tr>{cells}<td class="num">{unit.text(value)}</td></tr> }
        })
        .collect();
    view! {
        <div class="table-wrap"><table class="dense"><thead><tr>{heads}<th scope="col" class="num">{panel.value.name()}</th></tr></thead><tbody>{rows}</tbody></table></div>
    }
    .into_any()
}

fn rows(result: &SqlResult) -> AnyView {
    let shape = answers::shape(result);
    let class = |place: usize| if shape.numbers.contains(&place) { "num" } else { "mono" };
    let heads: Vec<_> = result
        .columns
        .iter()
        .enumerate()
        .map(|(place, column)| view! { <th scope="col" class=class(place)>{column.name.clone()}</th> })
        .collect();
    let rows: Vec<_> = result
        .rows
        .iter()
        .map(|row| {
            let cells: Vec<_> = row
                .iter()
                .enumerate()
                .map(|(place, value)| {
                    let text = match value {
                        Value::Number(number) if number.is_f64() => format::short(number.as_f64().unwrap_or_default()),
                        other => format::clipped(&parts::plain(other), 200),
                    };
                    view! { <td class=class(place)>{text}</td> }
                })
                .collect();
            view! { <tr>{cells}</tr> }
        })
        .collect();
    view! { <div class="table-wrap"><table class="dense"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div> }.into_any()
}

fn lines(request: &PageRequest, panel: &Panel, page: &Page<LogRow>) -> AnyView {
    if page.rows.is_empty() {
        return view! { <p class="quiet no-values">{tr("No lines in this range.")}</p> }.into_any();
    }
    let rows: Vec<_> = page
        .rows
        .iter()
        .map(|row| {
            let severity = Severity::of_level(&row.level);
            let address = format!("{}#row", request.time.params().with("row", &row.row).with("at", &row.time_unix_nano).on("/logs"));
            let class = format!("log-line {}", severity.class());
            let cells: Vec<_> = panel
                .columns
                .iter()
                .map(|name| view! { <span class="mono" title=name.clone()>{format::clipped(&crate::pages::logs::field(row, name), 60)}</span> })
                .collect();
            view! {
                <li class=class>
                    <a class="time" href=address>{row_time(&row.time_unix_nano, Show::Row)}</a>
                    <span class="mark">{severity.mark()}</span>{parts::service(&row.service_name)}{cells}
                    <span class="body clip">{format::clipped(&parts::plain(&row.body), 400)}</span>
                </li>
            }
        })
        .collect();
    view! { <ol class="log-lines">{rows}</ol> }.into_any()
}

/// Who calls whom: the picture of the map, and the busiest calls as a table.
fn map_view(request: &PageRequest, filled: &Filled, map: &ServiceMap) -> AnyView {
    let name =
        |id: &str| map.nodes.iter().find(|node| node.id == id).map_or_else(|| id.to_owned(), |node| node.name.clone());
    let mut edges: Vec<_> = map.edges.iter().collect();
    edges.sort_by_key(|edge| std::cmp::Reverse(edge.figures.calls));
    if edges.is_empty() {
        return view! { <p class="quiet no-values">{tr("No calls in this range.")}</p> }.into_any();
    }
    let rows: Vec<_> = edges
        .iter()
        .take(BARS)
        .map(|edge| {
            let is_bad = edge.figures.error_ratio >= 0.05;
            let p95 = format::duration_or_dash(edge.figures.p95_ns);
            view! {
                <tr>
                    <td>{parts::service(&name(&edge.from))}" → "{parts::service(&name(&edge.to))}</td>
                    <td class="num">{Unit::PerSecond.text(edge.figures.calls_per_second)}</td>
                    <td class=if is_bad { "num bad" } else { "num" }>{format::percent(edge.figures.error_ratio)}</td>
                    <td class="num">{p95}</td>
                </tr>
            }
        })
        .collect();
    // What the picture leads to are addresses of the map's own screen.
    let search = filled.asked.first().and_then(|query| query.search.as_deref()).unwrap_or_default();
    let there =
        PageRequest { path: "/map".to_owned(), params: request.time.params().with("q", search), ..request.clone() };
    view! {
        <div class="dash-map">{crate::pages::map::drawn(&there, map)}</div>
        <details class="chart-data"><summary>{tr("Calls as a table")}</summary>
            <table class="dense"><thead><tr><th scope="col">{tr("Calls")}</th><th scope="col" class="num">{tr("Rate")}</th>
                <th scope="col" class="num">{tr("Errors")}</th><th scope="col" class="num">"p95"</th></tr></thead><tbody>{rows}</tbody></table>
        </details>
    }
    .into_any()
}

/// Words in paragraphs; lines that begin with `- ` are a list, those with `# ` a heading.
fn words(text: &str) -> AnyView {
    let blocks: Vec<_> = text
        .split("\n\n")
        .filter(|block| !block.trim().is_empty())
        .map(|block| {
            let items: Vec<&str> = block.lines().filter_map(|line| line.trim_start().strip_prefix("- ")).collect();
            if !items.is_empty() && items.len() == block.lines().count() {
                let items: Vec<_> = items.into_iter().map(|item| view! { <li>{item.to_owned()}</li> }).collect();
                view! { <ul class="words">{items}</ul> }.into_any()
            } else if let Some(head) = block.strip_prefix("# ") {
                view! { <h3>{head.to_owned()}</h3> }.into_any()
            } else {
                view! { <p>{block.to_owned()}</p> }.into_any()
            }
        })
        .collect();
    view! { <div>{blocks}</div> }.into_any()
}
