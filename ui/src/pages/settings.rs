//! The reader's settings, kept in cookies so that they hold with scripts off.

use crate::request::{PageRequest, Theme};
use crate::text::Language;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

const YEAR_SECONDS: u32 = 31_536_000;

/// Sets the theme, the zone or the language and goes back to the page it was chosen on.
pub(crate) async fn handle(request: PageRequest) -> Response {
    // Only a path of ours is gone back to: "//host" and "https:" would lead away.
    let back = request
        .params
        .get("back")
        .filter(|back| back.starts_with('/') && !back.starts_with("//") && !back.contains('\\'));
    let location = back.and_then(|back| HeaderValue::from_str(back).ok()).unwrap_or(HeaderValue::from_static("/"));
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response();
    let theme = request.params.get("theme").and_then(Theme::named).map(|theme| ("theme", theme.name()));
    let zone = request.params.get("zone").and_then(|zone| match zone {
        "utc" => Some(("zone", "utc")),
        "browser" => Some(("zone", "browser")),
        _ => None,
    });
    let language = request.params.get("lang").and_then(Language::of_code).map(|language| ("lang", language.code()));
    for (name, value) in [theme, zone, language].into_iter().flatten() {
        let cookie = format!("{name}={value}; Path=/; Max-Age={YEAR_SECONDS}; SameSite=Lax; HttpOnly");
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answer(query: &str) -> (String, Vec<String>) {
        let response = handle(PageRequest::new("/settings", query, "", 0)).await;
        let location = response.headers()[header::LOCATION].to_str().expect("an address").to_owned();
        let cookies = response.headers().get_all(header::SET_COOKIE).iter();
        (location, cookies.map(|cookie| cookie.to_str().expect("text").to_owned()).collect())
    }

    #[tokio::test]
    async fn a_setting_is_kept_and_the_reader_returns() {
        let (location, cookies) = answer("theme=dark&back=%2Flogs%3Fq%3Dx").await;
        assert_eq!(location, "/logs?q=x");
        assert!(cookies.len() == 1 && cookies[0].starts_with("theme=dark;"), "{cookies:?}");
    }

    #[tokio::test]
    async fn nobody_is_led_away_or_given_a_strange_cookie() {
        for back in
            ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:1", "%0d%0aset-cookie: a=b"]
        {
            let (location, _) = answer(&format!("theme=dark&back={}", crate::params::encoded(back))).await;
            assert!(location == "/", "{back} led to {location}");
        }
        let (_, cookies) = answer("theme=evil%3B&zone=mars").await;
        assert!(cookies.is_empty());
    }
}
