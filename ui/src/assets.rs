//! The built bundle, the style sheet and the loader, embedded in the binary and named by what they hold.

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use std::sync::LazyLock;

/// One embedded file.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    plain: &'static [u8],
    brotli: Option<&'static [u8]>,
}

static ASSETS: [Asset; 5] = [
    Asset {
        name: "mangru_ui_bg.wasm",
        content_type: "application/wasm",
        plain: include_bytes!("../dist/mangru_ui_bg.wasm"),
        brotli: Some(include_bytes!("../dist/mangru_ui_bg.wasm.br")),
    },
    Asset {
        name: "mangru_ui.js",
        content_type: "text/javascript; charset=utf-8",
        plain: include_bytes!("../dist/mangru_ui.js"),
        brotli: None,
    },
    Asset {
        name: "boot.js",
        content_type: "text/javascript; charset=utf-8",
        plain: include_bytes!("../boot.js"),
        brotli: None,
    },
    Asset {
        name: "mangru.css",
        content_type: "text/css; charset=utf-8",
        plain: include_bytes!("../style/mangru.css"),
        brotli: None,
    },
    Asset { name: "icon.svg", content_type: "image/svg+xml", plain: include_bytes!("../style/icon.svg"), brotli: None },
];

/// A hash over all of them: server, bundle and styles belong together, so their addresses change together.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in ASSETS.iter().flat_map(|asset| asset.plain) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{hash:016x}")
});

/// The address of an embedded file.
pub(crate) fn address(name: &str) -> String {
    format!("/assets/{}/{name}", *VERSION)
}

/// Serves an embedded file; what is named by the current hash never changes.
pub(crate) async fn serve(Path((version, name)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return (StatusCode::NOT_FOUND, "no such asset\n").into_response();
    };
    let takes_brotli = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|codings| codings.split(',').any(|coding| coding.trim().split(';').next() == Some("br")));
    let is_current = version == *VERSION;
    let caching = if is_current { "public, max-age=31536000, immutable" } else { "no-store" };
    let (body, encoding) = match asset.brotli {
        Some(brotli) if takes_brotli => (brotli, Some("br")),
        _ => (asset.plain, None),
    };
    let mut response = body.into_response();
    let out = response.headers_mut();
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    if let Some(encoding) = encoding {
        out.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Export names hash an island's source: a bundle built before an edit would leave the island dead.
    #[test]
    fn the_bundle_holds_every_island_of_this_source() {
        let glue = include_str!("../dist/mangru_ui.js");
        let request = crate::request::PageRequest::new("/", "", "", 1_700_000_000_000_000_000);
        let (_, html) = crate::shell::render(&request, crate::pages::specimen);
        let names: Vec<&str> =
            html.split("data-component=\"").skip(1).map(|rest| rest.split('"').next().unwrap_or("")).collect();
        assert_eq!(names.len(), 9, "every kind of island stands once on the specimen page: {names:?}");
        for name in names {
            assert!(glue.contains(&format!("function {name}(")), "{name} is not in ui/dist: run `cargo xtask ui`");
        }
    }

    #[test]
    fn the_version_is_stable_within_a_build() {
        assert_eq!(address("boot.js"), address("boot.js"));
        assert_eq!(VERSION.len(), 16);
    }
}
