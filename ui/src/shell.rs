//! What surrounds every screen: navigation, the box for ids, the time range, colours and zone.

use crate::assets;
use crate::clock::{Show, time_view};
use crate::islands::page::PageKeys;
use crate::parts::hidden_inputs;
use crate::request::{PageRequest, Theme};
use crate::text::{Language, tr, trf};
use crate::time_choice::{self, RELATIVE};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use leptos::prelude::*;
use std::sync::Arc;

/// The screens by address, in the order of the navigation.
fn screens() -> Vec<(&'static str, &'static str)> {
    vec![
        ("/", tr("Overview")),
        ("/map", tr("Map")),
        ("/logs", tr("Logs")),
        ("/traces", tr("Traces")),
        ("/metrics/explore", tr("Metrics")),
        ("/dashboards", tr("Dashboards")),
        ("/alerts", tr("Alerts")),
        ("/sql", "SQL"),
        ("/status", tr("Status")),
    ]
}

/// The intervals at which a page can be asked to refresh itself, in seconds.
const REFRESH: [u32; 4] = [5, 10, 30, 60];

/// One screen, ready to be shown.
pub(crate) struct Screen {
    /// The title of the tab.
    pub(crate) title: String,
    /// Whether the time range has a meaning on it.
    pub(crate) has_time: bool,
    /// The status of the answer.
    pub(crate) status: StatusCode,
    /// What lies between header and footer.
    pub(crate) content: AnyView,
}

/// Renders a page: `make` builds its screen, synchronously, from data already at hand.
pub(crate) fn page(request: &PageRequest, make: impl FnOnce() -> Screen) -> Response {
    let (status, html) = render(request, make);
    let mut response = (status, Html(html)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, axum::http::HeaderValue::from_static("no-store"));
    response
}

/// The seconds after which the page asks for itself anew, where it was asked so.
fn refresh_seconds(request: &PageRequest) -> Option<String> {
    let seconds = request.params.get("refresh").and_then(|text| text.parse::<u32>().ok());
    seconds.filter(|seconds| REFRESH.contains(seconds)).map(|seconds| seconds.to_string())
}

/// The page as HTML.
pub(crate) fn render(request: &PageRequest, make: impl FnOnce() -> Screen) -> (StatusCode, String) {
    let owner = Owner::new_root(Some(Arc::new(hydration_context::SsrSharedContext::new_islands())));
    owner.with(|| {
        if let Some(context) = Owner::current_shared_context() {
            // Only what an island itself renders is taken up again in the browser.
            context.set_is_hydrating(false);
        }
        provide_context(request.language);
        provide_context(Arc::clone(&request.colours));
        let screen = make();
        let status = screen.status;
        (status, format!("<!DOCTYPE html>{}", document(request, screen).to_html()))
    })
}

fn document(request: &PageRequest, screen: Screen) -> AnyView {
    let theme = request.theme.name();
    let zone = if request.utc { "utc" } else { "browser" };
    let title = format!("{} · Mangru", screen.title);
    let style = assets::address("mangru.css");
    let boot = assets::address("boot.js");
    let glue = assets::address("mangru_ui.js");
    let icon = assets::address("icon.svg");
    // With scripts it waits for those who are at work on the page; the browser alone cannot know.
    let refresh = refresh_seconds(request);
    let without_scripts =
        refresh.clone().map(|seconds| view! { <noscript><meta http-equiv="refresh" content=seconds /></noscript> });
    view! {
        <html lang=request.language.code() data-theme=theme data-zone=zone data-refresh=refresh>
            <head>
                <meta charset="utf-8" />
                <meta name="viewport" content="width=device-width, initial-scale=1" />
                <meta name="color-scheme" content="light dark" />
                {without_scripts}
                <title>{title}</title>
                <link rel="icon" type="image/svg+xml" href=icon />
                <link rel="stylesheet" href=style />
                <script type="module" src=boot data-glue=glue></script>
            </head>
            <body>
                <a class="skip" href="#main">{tr("Skip to content")}</a>
                {header(request, screen.has_time)}
                <main id="main">
                    {request.time.error.clone().filter(|_| screen.has_time).map(|error| view! { <p class="error" role="alert">{trf("{0}; showing the last 15 minutes", &[&error.words()])}</p> })}
                    {screen.content}
                </main>
                {footer(request)}
            </body>
        </html>
    }
    .into_any()
}

fn header(request: &PageRequest, has_time: bool) -> AnyView {
    let is_here = |path: &str| path == request.path || (path != "/" && request.path.starts_with(&format!("{path}/")));
    let links = || -> Vec<_> {
        let link = |(path, name): (&'static str, &'static str)| {
            let current = is_here(path).then_some("page");
            view! { <li><a href=request.there(path) aria-current=current>{name}</a></li> }
        };
        screens().into_iter().map(link).collect()
    };
    let here = screens().into_iter().find(|(path, _)| is_here(path)).map_or_else(|| tr("Screens"), |(_, name)| name);
    view! {
        <header class="top">
            <a class="brand" href=request.there("/")><span aria-hidden="true">"◉ "</span>"Mangru"</a>
            <nav class="on-wide" aria-label=tr("Screens")><ul>{links()}</ul></nav>
            <nav class="on-phone" aria-label=tr("Screens")>
                <details class="menu">
                    <summary><span aria-hidden="true">"☰ "</span>{here}</summary>
                    <div class="menu-body"><ul>{links()}</ul></div>
                </details>
            </nav>
            <form class="find" action="/story" method="get" role="search" aria-label=tr("Find any id")>
                <input id="find-id" name="id" type="search" placeholder=tr("Find any id   /") aria-label=tr("Trace, span, correlation, request or order id")
                    autocomplete="off" spellcheck="false" maxlength="512" />
                {hidden_inputs(&request.time.params())}
            </form>
            {has_time.then(|| time_control(request))}
        </header>
    }
    .into_any()
}

fn time_control(request: &PageRequest) -> AnyView {
    let time = &request.time;
    let params = request.params.without("cursor").without("row").without("at");
    let go = |(start, end): (String, String)| request.here(&params.with("start", &start).with("end", &end));
    let label = match time.label() {
        Some(label) => view! { <span>{label}</span> }.into_any(),
        None => {
            view! { <span>{time_view(time.range.start, Show::Full)}" – "{time_view(time.range.end, Show::Full)}</span> }
                .into_any()
        }
    };
    let relative: Vec<_> = RELATIVE
        .iter()
        .map(|(start, words)| {
            let current = (time.is_relative() && time.error.is_none() && time.start == *start).then_some("true");
            view! { <li><a href=request.here(&params.without("end").with("start", start)) aria-current=current>{time_choice::words(words)}</a></li> }
        })
        .collect();
    let refreshing = params.get("refresh").map(str::to_owned);
    let refresh: Vec<_> = REFRESH
        .iter()
        .map(|seconds| {
            let seconds = seconds.to_string();
            let current = (refreshing.as_deref() == Some(seconds.as_str())).then_some("true");
            view! { <li><a href=request.here(&params.with("refresh", &seconds)) aria-current=current>{trf("every {0} s", &[&seconds])}</a></li> }
        })
        .collect();
    let stop = view! { <li><a href=request.here(&params.without("refresh")) aria-current=refreshing.is_none().then_some("true")>{tr("off")}</a></li> };
    let is_refreshing = refreshing.map(|seconds| view! { <span class="refreshing">{format!(" ↻ {seconds} s")}</span> });
    view! {
        <div class="time" role="group" aria-label=tr("Time range")>
            <a class="step" href=go(time.stepped(false)) aria-label=tr("Earlier") title=tr("Earlier")>"‹"</a>
            <details class="menu">
                <summary>{label}{is_refreshing}</summary>
                <div class="menu-body">
                    <ul class="choices">{relative}</ul>
                    <form action=request.path.clone() method="get">
                        {hidden_inputs(&params.without("start").without("end"))}
                        <label>{tr("From (UTC)")}<input name="start" value=time.start.clone() spellcheck="false" autocomplete="off" /></label>
                        <label>{tr("To (UTC)")}<input name="end" value=time.end.clone() spellcheck="false" autocomplete="off" /></label>
                        <button>{tr("Apply")}</button>
                        <p class="quiet">{tr("2026-11-20 22:05, -90m, now, or nanoseconds")}</p>
                    </form>
                    <div>
                        <p class="menu-head">{tr("Refresh")}</p>
                        <ul class="choices">{stop}{refresh}</ul>
                    </div>
                </div>
            </details>
            <a class="step" href=go(time.stepped(true)) aria-label=tr("Later") title=tr("Later")>"›"</a>
            <a class="step" href=go(time.zoomed_out(request.now)) aria-label=tr("Zoom out") title=tr("Zoom out")>"⊖"</a>
        </div>
    }
    .into_any()
}

/// The words of the list of short cuts, in its order.
pub(crate) fn key_words() -> Vec<String> {
    [
        tr("Keyboard"),
        tr("or"),
        tr("find any id"),
        tr("next and previous row"),
        tr("open the row"),
        tr("close what is open"),
        tr("this list"),
        tr("Close"),
        tr("copied"),
        tr("not copied"),
    ]
    .map(str::to_owned)
    .to_vec()
}

fn theme_name(theme: Theme) -> &'static str {
    match theme {
        Theme::System => tr("system"),
        Theme::Light => tr("light"),
        Theme::Dark => tr("dark"),
    }
}

fn footer(request: &PageRequest) -> AnyView {
    let back = request.here(&request.params);
    let settings = |name: &str, value: &str| {
        crate::params::Params::default().with(name, value).with("back", &back).on("/settings")
    };
    let themes: Vec<_> = Theme::ALL
        .into_iter()
        .map(|theme| {
            let current = (theme == request.theme).then_some("true");
            view! { <li><a href=settings("theme", theme.name()) aria-current=current>{theme_name(theme)}</a></li> }
        })
        .collect();
    let languages: Vec<_> = Language::ALL
        .into_iter()
        .map(|language| {
            let current = (language == request.language).then_some("true");
            view! { <li><a href=settings("lang", language.code()) lang=language.code() aria-current=current>{language.name()}</a></li> }
        })
        .collect();
    let zones = [("utc", request.utc), ("browser", !request.utc)].map(|(zone, is_chosen)| {
        let current = is_chosen.then_some("true");
        let name = if zone == "utc" {
            view! { <span>"UTC"</span> }.into_any()
        } else {
            view! { <span data-zone-name="">{tr("your zone")}</span> }.into_any()
        };
        view! { <li><a href=settings("zone", zone) aria-current=current>{name}</a></li> }
    });
    view! {
        <footer class="bottom">
            <div><span id="theme-head">{tr("Colours")}</span><ul class="choices" aria-labelledby="theme-head">{themes}</ul></div>
            <div><span id="zone-head">{tr("Times in")}</span><ul class="choices" aria-labelledby="zone-head">{zones.into_iter().collect::<Vec<_>>()}</ul></div>
            <div><span id="language-head">{tr("Language")}</span><ul class="choices" aria-labelledby="language-head">{languages}</ul></div>
            <div class="quiet needs-script"><kbd>"?"</kbd>" "{tr("lists the short cuts")}</div>
            <PageKeys words=key_words() />
        </footer>
    }
    .into_any()
}
