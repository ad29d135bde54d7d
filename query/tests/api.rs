//! The HTTP API of the service map and of comparisons.

mod calls;

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use calls::{CLIENT, SECOND, SERVER, START, Span, batch, store};
use mangru_query::{QueryService, QuerySettings, router};
use serde_json::{Value as Json, json};
use tower::ServiceExt as _;

/// Asks a path of the API over ten calls of one service by another, the last with an error, hot and sealed.
async fn answers(path: &str) -> Vec<(StatusCode, Json)> {
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path()).await;
    let spans: Vec<Span> = (0..20_u8)
        .map(|n| Span {
            time: START + i64::from(n) * SECOND,
            duration: 100 + i64::from(n / 2),
            trace: u32::from(n / 2),
            id: n % 2,
            parent: (n % 2 == 1).then_some(0),
            service: ["web", "cart"][usize::from(n % 2)].to_owned(),
            kind: [CLIENT, SERVER][usize::from(n % 2)],
            is_error: n == 19,
            promoted: vec![("http.request.method", "GET".to_owned())],
            ..Span::default()
        })
        .collect();
    store.append(batch(&spans)).await.expect("append");
    let router = router(QueryService::new(store.clone(), QuerySettings::default()));
    let mut answers = Vec::new();
    for _ in ["hot", "sealed"] {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let response = router.clone().oneshot(request).await.expect("an answer");
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.expect("a whole body");
        answers.push((status, serde_json::from_slice(&body).expect("JSON")));
        store.flush().await.expect("flush");
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn the_map_is_drawn_from_one_answer() {
    for (status, map) in answers("/api/v1/map?start=1700000000&end=1700000100").await {
        assert_eq!(status, StatusCode::OK, "{map}");
        let cart = json!({
            "id": "service:/cart", "kind": "service", "name": "cart", "namespace": null, "system": null,
            "calls": 10, "errors": 1, "calls_per_second": 0.1, "error_ratio": 0.1,
            "p50_ns": 104, "p95_ns": 109, "p99_ns": 109,
        });
        assert_eq!(map["nodes"][0], cart);
        assert_eq!(map["nodes"].as_array().map(Vec::len), Some(2));
        let edge = json!({
            "from": "service:/web", "to": "service:/cart", "kind": "http",
            "calls": 10, "errors": 1, "calls_per_second": 0.1, "error_ratio": 0.1,
            "p50_ns": 104, "p95_ns": 109, "p99_ns": 109,
        });
        assert_eq!(map["edges"], json!([edge]));
        assert_eq!((&map["spans"], &map["matched"], &map["complete"]), (&json!(20), &json!(20), &json!(true)));
    }
    for (status, map) in answers("/api/v1/map?start=1700000000&end=1700000100&query=status:error").await {
        assert_eq!((status, &map["edges"][0]["calls"]), (StatusCode::OK, &json!(1)), "{map}");
    }
    for (status, error) in answers("/api/v1/map?query=(").await {
        assert_eq!((status, &error["error"]["field"]), (StatusCode::BAD_REQUEST, &json!("query")), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_names_the_fields_that_differ() {
    let path = "/api/v1/spans/compare?start=1700000000&end=1700000100&query=kind:server&limit=5&values=3";
    for (status, answer) in answers(path).await {
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!((&answer["selection_rows"], &answer["baseline_rows"]), (&json!(10), &json!(10)));
        let fields: Vec<&Json> = answer["fields"].as_array().expect("fields").iter().collect();
        assert_eq!((&fields[0]["name"], &fields[0]["is_queried"]), (&json!("kind"), &json!(true)));
        assert_eq!((&fields[1]["name"], &fields[1]["kind"]), (&json!("service.name"), &json!("column")));
        let value = &fields[1]["values"][0];
        assert_eq!((&value["value"], &value["selection_share"]), (&json!("cart"), &json!(1.0)));
        assert_eq!(fields.len(), 2, "{answer}");
    }
    for (status, error) in answers("/api/v1/logs/compare").await {
        assert_eq!((status, &error["error"]["field"]), (StatusCode::BAD_REQUEST, &json!("query")), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_has_the_map_and_the_comparisons() {
    for (status, description) in answers("/api/v1/openapi.json").await {
        assert_eq!(status, StatusCode::OK);
        for path in ["/api/v1/map", "/api/v1/spans/compare", "/api/v1/logs/compare"] {
            assert!(description["paths"][path]["get"].is_object(), "{path}");
        }
        let edge = &description["components"]["schemas"]["MapEdge"].to_string();
        assert!(edge.contains("CallFigures"), "{edge}");
    }
}
