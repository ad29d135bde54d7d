//! What every page is asked with: path, parameters, time range, and the reader's settings.

use crate::clock;
use crate::context::UiContext;
use crate::palette::ServiceColours;
use crate::params::Params;
use crate::text::Language;
use crate::time_choice::TimeChoice;
use axum::extract::{FromRef, FromRequestParts};
use axum::http::header::{ACCEPT_LANGUAGE, COOKIE};
use axum::http::request::Parts;
use std::convert::Infallible;
use std::sync::Arc;

/// The colours of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Theme {
    /// As the system has it.
    System,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl Theme {
    /// Every theme, in the order of the control.
    pub(crate) const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    /// The name in the address, the cookie and the page.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|theme| theme.name() == name)
    }
}

/// One request for a page.
#[derive(Clone, Debug)]
pub(crate) struct PageRequest {
    /// The path asked for.
    pub(crate) path: String,
    /// The query string.
    pub(crate) params: Params,
    /// The time range.
    pub(crate) time: TimeChoice,
    /// When it was asked, nanoseconds since the Unix epoch.
    pub(crate) now: i64,
    /// The reader's colours.
    pub(crate) theme: Theme,
    /// Whether the reader wants UTC rather than the browser's zone.
    pub(crate) utc: bool,
    /// The reader's language.
    pub(crate) language: Language,
    /// The colours of the services that are known.
    pub(crate) colours: Arc<ServiceColours>,
}

impl PageRequest {
    /// Reads a request made at `now`.
    pub(crate) fn new(path: &str, query: &str, cookies: &str, now: i64) -> Self {
        let cookie = |name: &str| {
            cookies.split(';').find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
        };
        let params = Params::parse(query);
        Self {
            path: path.to_owned(),
            time: TimeChoice::read(&params, now),
            params,
            now,
            theme: cookie("theme").and_then(|name| Theme::named(&name)).unwrap_or(Theme::System),
            utc: cookie("zone").as_deref() == Some("utc"),
            language: cookie("lang").and_then(|code| Language::of_code(&code)).unwrap_or(Language::English),
            colours: Arc::default(),
        }
    }

    /// This page with other parameters.
    pub(crate) fn here(&self, params: &Params) -> String {
        params.on(&self.path)
    }

    /// Another page with this page's time range.
    pub(crate) fn there(&self, path: &str) -> String {
        self.time.params().on(path)
    }

    /// A search on another page with this page's time range.
    pub(crate) fn search(&self, path: &str, query: &str) -> String {
        self.time.params().with("q", query).on(path)
    }

    /// The search in the address, trimmed.
    pub(crate) fn query(&self) -> &str {
        self.params.get("q").unwrap_or("").trim()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PageRequest
where
    Arc<UiContext>: FromRef<S>,
{
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let cookies = parts.headers.get(COOKIE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let mut request = Self::new(parts.uri.path(), parts.uri.query().unwrap_or(""), cookies, clock::now_ns());
        let has_chosen = cookies.split(';').any(|pair| pair.trim().starts_with("lang="));
        let accepted = parts.headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        if let (false, Some(language)) = (has_chosen, accepted.and_then(Language::accepted)) {
            request.language = language;
        }
        let context = Arc::<UiContext>::from_ref(state);
        request.colours = Arc::new(ServiceColours::of(context.query.known_services().await.as_ref()));
        Ok(request)
    }
}
