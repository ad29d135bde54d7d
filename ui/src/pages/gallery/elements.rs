//! What is not a chart: colours, marks, forms, tables, messages.

use super::Exhibit;
use crate::clock::{Show, time_view};
use crate::context::Endpoints;
use crate::format;
use crate::islands::assist::Assist;
use crate::palette::{SERVICE_COLOURS, Severity};
use crate::parts;
use crate::request::PageRequest;
use leptos::prelude::*;
use mangru_query::{Coverage, ErrorCode, QueryError};

/// All of them.
pub(super) fn exhibits(request: &PageRequest) -> Vec<Exhibit> {
    vec![tokens(), marks(request), controls(), search(request), messages(), table(request), disclosure(), tabs()]
}

fn tokens() -> Exhibit {
    let colours = [
        "page",
        "raised",
        "line",
        "line-strong",
        "text",
        "quiet",
        "accent",
        "accent-soft",
        "bad",
        "bad-soft",
        "warn",
        "warn-soft",
    ];
    let swatches: Vec<_> = colours
        .into_iter()
        .map(|name| view! { <li class="token"><span class=format!("token-colour token-{name}")></span><code>{format!("--{name}")}</code></li> })
        .collect();
    let services: Vec<_> = (0..SERVICE_COLOURS)
        .map(|number| view! { <li><span class=format!("service svc-{number}")>{format!("service {number}")}</span></li> })
        .collect();
    let type_sizes = view! {
        <div><h1>"Heading of a page, 18 px"</h1><h2>"Heading of a section, 15 px"</h2><h3>"Heading within, 13 px"</h3>
            <p>"Text, 14 px, with a "<a href="#tokens">"link"</a>", "<code>"code"</code>" and "<span class="quiet">"what is quiet"</span>"."</p></div>
    };
    Exhibit {
        name: "Tokens",
        about: "Custom properties of the style sheet. Colour stands for meaning, and never alone; a service keeps its colour everywhere.",
        states: vec![
            ("colours", view! { <ul class="tokens">{swatches}</ul> }.into_any()),
            ("services", view! { <ul class="choices">{services}</ul> }.into_any()),
            ("type", type_sizes.into_any()),
        ],
    }
}

fn marks(request: &PageRequest) -> Exhibit {
    let severities: Vec<_> = Severity::ALL
        .into_iter()
        .map(|severity| view! { <li><span class=format!("mark {}", severity.class())>{severity.mark()}</span>" "{severity.word()}</li> })
        .collect();
    let moments = view! {
        <p>{time_view(request.now, Show::Full)}" · "{time_view(request.now, Show::Row)}" · "{time_view(request.now, Show::Clock)}" · "{time_view(request.now, Show::Minute)}
            " · "{time_view(request.now, Show::HourMinute)}" · "{time_view(request.now, Show::Day)}</p>
    };
    let numbers = [
        format::count(48_211),
        format::short(3_200_000.0),
        format::duration(41_260_000),
        format::bytes(1_468_006),
        format::percent(0.125),
        format::change(112.0, 100.0),
    ]
    .join(" · ");
    Exhibit {
        name: "Marks and numbers",
        about: "Severities carry a word beside their colour; moments turn to the reader's zone; digits are as wide as each other.",
        states: vec![
            ("severities", view! { <ul class="choices">{severities}</ul> }.into_any()),
            ("moments", moments.into_any()),
            ("numbers", view! { <p>{numbers}</p> }.into_any()),
            ("new", view! { <p><span class="new">"new"</span>"what was not there before"</p> }.into_any()),
        ],
    }
}

fn controls() -> Exhibit {
    let buttons = view! {
        <p class="inline"><button class="primary" type="button">"Primary"</button><button type="button">"Button"</button>
            <button type="button" disabled>"Disabled"</button><button type="button" class="link">"As a link"</button><a class="button" href="#controls">"Link as a button"</a></p>
    };
    let inputs = view! {
        <p class="inline"><input type="text" value="text" aria-label="A text" /><input type="search" placeholder="placeholder" aria-label="A search" />
            <select aria-label="A choice"><option>"one"</option><option>"two"</option></select></p>
    };
    let choices = view! {
        <ul class="choices"><li><a href="#controls" aria-current="true">"chosen"</a></li><li><a href="#controls">"another"</a></li></ul>
    };
    Exhibit {
        name: "Controls",
        about: "Every control is a link or a form of GET, so that it works without scripts and its state is the address.",
        states: vec![("buttons", buttons.into_any()), ("inputs", inputs.into_any()), ("choices", choices.into_any())],
    }
}

fn search(request: &PageRequest) -> Exhibit {
    let address = crate::complete::address(request, "search", mangru_store::Signal::Logs);
    let field = view! {
        <input type="search" class="query mono" name="q" value="level>=warn service:" aria-label="A search with completion" autocomplete="off" spellcheck="false" />
    };
    let bar = view! { <div class="search"><form action="/logs" method="get"><Assist address label="Completions".to_owned() id="gallery-search".to_owned()>{field}</Assist><button class="primary">"Search"</button></form></div> };
    let offered = view! {
        <ul class="assist-list still" role="listbox" aria-label="Completions that are open">
            <li role="option" aria-selected="true"><span class="mono">"service.name"</span><span class="quiet">"48,211"</span></li>
            <li role="option" aria-selected="false"><span class="mono">"service.version"</span><span class="quiet">"48,211"</span></li>
        </ul>
    };
    let facet = |asked: bool| {
        let class = if asked { "is-asked" } else { "" };
        view! {
            <div class="narrow facet"><ul>
                <li class=class><a class="include" href="#search"><span class="service svc-3">"checkout"</span><span class="num">"9,211"</span>
                    <svg class="facet-bar" viewBox="0 0 100 2" preserveAspectRatio="none" aria-hidden="true"><rect x="0" y="0" width="80" height="2"></rect></svg></a>
                    <a class="exclude" href="#search" aria-label="Exclude service:checkout">"−"</a></li>
            </ul></div>
        }
    };
    Exhibit {
        name: "Search",
        about: "A box with completion, and facets: a click includes, Alt and a click excludes.",
        states: vec![
            ("search bar", bar.into_any()),
            ("completions", offered.into_any()),
            ("facet", facet(false).into_any()),
            ("facet, asked for", facet(true).into_any()),
        ],
    }
}

fn messages() -> Exhibit {
    let error = QueryError {
        code: ErrorCode::InvalidArgument,
        message: "expected a value after `service:`".to_owned(),
        field: Some("query"),
        position: Some(20),
    };
    let covered = |complete: bool| Coverage {
        matched: 48_211,
        matched_is_exact: complete,
        complete,
        limit_hit: (!complete).then(|| "limit of 100,000 distinct values".to_owned()),
        rows_in_range: 3_200_000,
        elapsed_ms: 41.0,
    };
    let endpoints = Endpoints {
        otlp_grpc: "127.0.0.1:4317".to_owned(),
        otlp_http: "127.0.0.1:4318".to_owned(),
        http: "127.0.0.1:4319".to_owned(),
    };
    Exhibit {
        name: "Messages",
        about: "Errors keep the query and point into it; answers say what they cover; empty states teach.",
        states: vec![
            ("error with a caret", parts::error("level>=warn service:", &error)),
            ("error", view! { <div class="error"><p><strong>"✖ "</strong>"the query took longer than 30 s"</p></div> }.into_any()),
            ("warning", view! { <p class="warning">"⚠ 12 more series are not drawn"</p> }.into_any()),
            ("coverage", parts::coverage(100, "matching row", &covered(true))),
            ("coverage, cut", parts::coverage(100, "matching row", &covered(false))),
            ("to copy", parts::copyable("export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317")),
            ("empty", view! { <p class="empty">"Nothing matches in this range. "<a href="#messages">"Search the last 24 hours"</a></p> }.into_any()),
            ("nothing was sent yet", parts::how_to_send(&endpoints)),
        ],
    }
}

fn table(request: &PageRequest) -> Exhibit {
    let row = |severity: Severity, body: &str, class: &str| {
        let class = format!("{} {class}", severity.class());
        view! {
            <tr class=class><td class="time">{time_view(request.now, Show::Row)}</td><td><span class=format!("mark {}", severity.class())>{severity.mark()}</span></td>
                <td>{parts::service("checkout")}</td><td class="num">"12"</td><td class="body"><div class="clip">{body.to_owned()}</div></td></tr>
        }
    };
    let rows = view! {
        <div class="table-wrap"><table class="logs dense">
            <thead><tr><th scope="col">"Time"</th><th scope="col">"Sev"</th><th scope="col" aria-sort="descending">"Service"</th><th scope="col" class="num">"n"</th><th scope="col">"Message"</th></tr></thead>
            <tbody>{row(Severity::Info, "an ordinary line", "")}{row(Severity::Warn, "a warning", "")}{row(Severity::Error, "an error\n    at shop.Checkout.total(Checkout.java:88)\n    at shop.Checkout.run(Checkout.java:31)", "")}
                {row(Severity::Fatal, "the end", "")}{row(Severity::Debug, "the open row", "is-open")}</tbody>
        </table></div>
    };
    Exhibit {
        name: "Table",
        about: "Dense rows, digits aligned, a wide one scrolls within itself.",
        states: vec![("rows", rows.into_any())],
    }
}

fn disclosure() -> Exhibit {
    let menu = view! { <details class="menu"><summary>"Menu"</summary><div class="menu-body"><p>"What is in it."</p></div></details> };
    let json =
        view! { <details class="json" open><summary>"Disclosure, open"</summary><pre>"{ \"a\": 1 }"</pre></details> };
    let panel = view! {
        <section class="panel" aria-label="A panel"><div class="panel-head"><h3>"Panel"</h3><a href="#disclosure">"× close"</a></div><p>"What is open in detail."</p></section>
    };
    Exhibit {
        name: "Disclosure",
        about: "What is not always looked at is a click away, and the click needs no script.",
        states: vec![("menu", menu.into_any()), ("details", json.into_any()), ("panel", panel.into_any())],
    }
}

fn tabs() -> Exhibit {
    let tabs = view! { <nav class="tabs" aria-label="Views"><a href="#tabs" aria-current="page">"Lines"</a><a href="#tabs">"Patterns"</a></nav> };
    Exhibit { name: "Tabs", about: "Views of one result; each is an address.", states: vec![("tabs", tabs.into_any())] }
}
