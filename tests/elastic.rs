//! Elasticsearch's search API, with its official client and with requests as Grafana sends them; and Zipkin's Python client.

mod harness;

use harness::{ALL_TIME_END, Server, client, tool};
use serde_json::{Value as Json, json};
use std::process::Command;

fn run(command: &mut Command) -> String {
    let output = command.output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_client_writes_and_searches() {
    let Some(python) = tool("MANGRU_TEST_PYTHON") else { return };
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let found = run(Command::new(&python).args(["tests/python/elastic.py", &format!("{}/elastic", server.ui)]));
    let found: Json = serde_json::from_str(&found).expect("JSON");
    assert_eq!((&found["version"], &found["written"]), (&json!("8.17.0"), &json!(40)));
    assert_eq!(found["total"], json!({ "value": 40, "relation": "eq" }));
    assert_eq!(found["oldest"], json!([0, 1, 2]));
    assert_eq!(found["newest"], json!([39, 38, 37]));
    assert_eq!(found["from"], json!([5, 6]));
    let pages: Vec<i64> = found["pages"]
        .as_array()
        .expect("pages")
        .iter()
        .flat_map(|page| page.as_array().expect("a page").iter().map(|second| second.as_i64().expect("a number")))
        .collect();
    assert_eq!(pages, (0..40).rev().collect::<Vec<_>>(), "each document once, whichever page it is on");
    assert_eq!(found["source"], json!({ "user.id": "u3", "message": "request 38 was fine" }));
    let of = |second: i64| (second % 2 == 1, second % 3 != 0, second % 5);
    let seconds = || 0..40_i64;
    let count = |keep: &dyn Fn(i64) -> bool| seconds().filter(|second| keep(*second)).count() as u64;
    let expected = json!({
        "match": 20,
        "match_and": 1,
        "term": count(&|second| !of(second).1),
        "terms": count(&|second| matches!(of(second).2, 1 | 2)),
        "range": 10,
        "bool": count(&|second| second >= 20 && of(second).0 && of(second).1 && matches!(of(second).2, 1 | 4)),
        "query_string": count(&|second| of(second).0 && of(second).1 && (10..20).contains(&second)),
        "query_string_or": count(&|second| matches!(of(second).2, 1 | 2)),
        "wildcard": 40,
        "prefix": count(&|second| of(second).1),
        "exists": 40,
        "none": 0,
        "other_index": 0,
        "pattern_of_indices": 40,
    });
    assert_eq!(found["counts"], expected);
    let aggregations = &found["aggregations"];
    let buckets = aggregations["over_time"]["buckets"].as_array().expect("buckets");
    assert_eq!(buckets.len(), 4);
    for (place, bucket) in buckets.iter().enumerate() {
        let first = place as i64 * 10;
        assert_eq!((&bucket["key"], &bucket["doc_count"]), (&json!(1_699_999_980_000_i64 + first * 1000), &json!(10)));
        let web: Vec<i64> = (first..first + 10).filter(|second| of(*second).1).collect();
        let services = bucket["services"]["buckets"].as_array().expect("services");
        assert_eq!((&services[0]["key"], &services[0]["doc_count"]), (&json!("web"), &json!(web.len())));
        let mean = web.iter().sum::<i64>() as f64 * 10.0 / web.len() as f64;
        assert!((services[0]["took"]["value"].as_f64().expect("a mean") - mean).abs() < 1e-9);
    }
    assert_eq!(aggregations["percentiles"]["values"], json!({ "50.0": 195.0, "95.0": 370.5 }));
    assert_eq!(aggregations["users"]["value"], 5);
    assert_eq!(aggregations["kinds"]["buckets"]["bad"]["doc_count"], 4);
    assert_eq!(aggregations["kinds"]["buckets"]["all"]["doc_count"], 40);
    assert_eq!(found["many"], json!(["request 3 took long", 400]), "a search that is wrong fails alone");
    assert_eq!(
        found["fields"],
        json!({ "@timestamp": "date", "took_ms": "long", "user.id": "keyword", "message": "text" })
    );
    assert_eq!(found["mapping"], json!({ "type": "long" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn grafana_searches_logs_and_histograms() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let lines: Vec<String> = (0..20)
        .map(|second| {
            let level = if second < 5 { "error" } else { "info" };
            let document = json!({ "@timestamp": 1_700_000_000_000_i64 + second * 1000, "message": format!("line {second}"), "level": level });
            format!("{{\"create\":{{}}}}\n{document}\n")
        })
        .collect();
    let url = format!("{}/elastic/logs-grafana/_bulk", server.ui);
    let answer = client().post(url).header("content-type", "application/x-ndjson").body(lines.concat()).send().await;
    assert_eq!(answer.expect("an answer").json::<Json>().await.expect("JSON")["errors"], false);
    // As Grafana's data source sends them: logs, and the histogram above them, in one request.
    let filter = json!({ "bool": { "filter": [
        { "range": { "@timestamp": { "gte": 1_700_000_000_000_i64, "lte": 1_700_000_019_000_i64, "format": "epoch_millis" } } },
        { "query_string": { "analyze_wildcard": true, "query": "level:error OR \"line 19\"" } },
    ] } });
    let head = json!({ "search_type": "query_then_fetch", "ignore_unavailable": true, "index": "logs" });
    let logs = json!({
        "size": 500, "query": filter, "sort": [{ "@timestamp": { "order": "desc", "unmapped_type": "boolean" } }, { "_doc": { "order": "desc" } }],
        "script_fields": {}, "highlight": { "fields": { "*": {} }, "fragment_size": 2_147_483_647, "pre_tags": ["@HIGHLIGHT@"], "post_tags": ["@/HIGHLIGHT@"] },
        "aggs": {},
    });
    let histogram = json!({
        "size": 0, "query": filter,
        "aggs": { "3": {
            "terms": { "field": "log.level", "size": 500, "order": { "_key": "desc" }, "min_doc_count": 0 },
            "aggs": { "2": { "date_histogram": {
                "field": "@timestamp", "fixed_interval": "10s", "min_doc_count": 0, "format": "epoch_millis", "time_zone": "UTC",
                "extended_bounds": { "min": 1_700_000_000_000_i64, "max": 1_700_000_019_000_i64 },
            }, "aggs": {} } },
        } },
    });
    for _ in 0..2 {
        let body = format!("{head}\n{logs}\n{head}\n{histogram}\n");
        let request = client().post(format!("{}/elastic/_msearch?max_concurrent_shard_requests=5", server.ui));
        let answer = request.header("content-type", "application/x-ndjson").body(body).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        let answer: Json = answer.json().await.expect("JSON");
        let hits = answer["responses"][0]["hits"]["hits"].as_array().expect("hits");
        let lines: Vec<&str> = hits.iter().map(|hit| hit["_source"]["message"].as_str().expect("a line")).collect();
        assert_eq!(lines, ["line 19", "line 4", "line 3", "line 2", "line 1", "line 0"]);
        assert_eq!(hits[0]["sort"][0], 1_700_000_019_000_i64);
        let levels = answer["responses"][1]["aggregations"]["3"]["buckets"].as_array().expect("levels");
        assert_eq!((&levels[0]["key"], &levels[1]["key"]), (&json!("info"), &json!("error")));
        let counts = |level: &Json| -> Vec<u64> {
            let buckets = level["2"]["buckets"].as_array().expect("buckets").iter();
            buckets.map(|bucket| bucket["doc_count"].as_u64().expect("a number")).collect()
        };
        assert_eq!((counts(&levels[0]), counts(&levels[1])), (vec![0, 1], vec![5, 0]));
        server.flush().await;
    }
    for (body, named) in [
        (json!({ "query": { "geo_distance": {} } }), "geo_distance"),
        (json!({ "query": { "bool": { "musst": [] } } }), "musst"),
        (json!({ "aggs": { "a": { "significant_terms": { "field": "x" } } } }), "significant_terms"),
        (json!({ "query": { "query_string": { "query": "a AND (" } } }), "Failed to parse"),
        (json!({ "sort": [{ "_geo_distance": "asc" }] }), "_geo_distance"),
        (json!({ "sort": [{ "user.id": "up" }] }), "[up]"),
        (json!({ "suggest": {} }), "suggest"),
    ] {
        let answer =
            client().post(format!("{}/elastic/logs/_search", server.ui)).json(&body).send().await.expect("an answer");
        assert_eq!(answer.status(), 400, "{body}");
        let answer: Json = answer.json().await.expect("JSON");
        let reason = answer["error"]["reason"].as_str().unwrap_or_default();
        assert!(reason.contains(named), "{body}: {answer}");
    }
}

/// The numbers of the documents on each page of a search, page by page until there are none.
async fn pages(server: &Server, mut search: Json) -> Vec<i64> {
    let mut all = Vec::new();
    for _ in 0..100 {
        let url = format!("{}/elastic/logs-ties/_search", server.ui);
        let answer = client().post(url).json(&search).send().await.expect("an answer");
        let answer: Json = answer.json().await.expect("JSON");
        let hits = answer["hits"]["hits"].as_array().unwrap_or_else(|| panic!("{answer}"));
        assert_eq!(answer["hits"]["total"], json!({ "value": 60, "relation": "eq" }));
        let Some(last) = hits.last() else { return all };
        assert!(hits.len() as i64 <= search["size"].as_i64().expect("a size"));
        all.extend(hits.iter().map(|hit| hit["_source"]["n"].as_i64().expect("a number")));
        search["search_after"] = last["sort"].clone();
    }
    panic!("the pages have no end: {all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_document_is_on_one_page_whatever_the_order() {
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    // Twenty documents at each of three moments; every third has no user.
    let time = |n: i64| 1_700_000_000_000_i64 + n / 20;
    let user = |n: i64| (n % 3 != 0).then(|| format!("u{}", n % 7));
    let lines: Vec<String> = (0..60)
        .map(|n| {
            let mut document = json!({ "@timestamp": time(n), "message": "same", "n": n, "took": (n * 37) % 60 });
            if let Some(user) = user(n) {
                document["user"] = json!({ "id": user });
            }
            format!("{{\"create\":{{}}}}\n{document}\n")
        })
        .collect();
    let url = format!("{}/elastic/logs-ties/_bulk", server.ui);
    let answer = client().post(url).header("content-type", "application/x-ndjson").body(lines.concat()).send().await;
    assert_eq!(answer.expect("an answer").json::<Json>().await.expect("JSON")["errors"], false);
    for _ in 0..2 {
        for size in [7, 20, 59] {
            let asked = |sort: Json| json!({ "size": size, "sort": sort });
            let oldest = pages(&server, asked(json!([{ "@timestamp": "asc" }, { "_doc": "asc" }]))).await;
            assert!(oldest.is_sorted_by_key(|n| time(*n)), "{oldest:?}");
            let newest = pages(&server, asked(json!([{ "@timestamp": "desc" }]))).await;
            assert!(newest.is_sorted_by_key(|n| -time(*n)), "{newest:?}");
            let slowest = pages(&server, asked(json!([{ "took": { "order": "desc" } }]))).await;
            assert!(slowest.is_sorted_by_key(|n| -((n * 37) % 60)), "numbers are put in order as such: {slowest:?}");
            let users = pages(
                &server,
                asked(json!([{ "user.id": { "order": "asc", "missing": "_first" } }, { "@timestamp": "desc" }])),
            )
            .await;
            assert!(users.is_sorted_by_key(|n| (user(*n), -time(*n))), "{users:?}");
            let last = pages(&server, asked(json!([{ "user.id": "desc" }]))).await;
            assert!(last.is_sorted_by_key(|n| (user(*n).is_none(), std::cmp::Reverse(user(*n)))), "{last:?}");
            for mut all in [oldest, newest, slowest, users, last] {
                all.sort_unstable();
                assert_eq!(all, (0..60).collect::<Vec<_>>(), "each document once, in pages of {size}");
            }
        }
        // What hard bounds cut is not counted; buckets that are empty are shown within them.
        let bounds = json!({ "min": 1_700_000_000_001_i64, "max": 1_700_000_000_003_i64 });
        let histogram = json!({ "field": "@timestamp", "fixed_interval": "1ms", "min_doc_count": 0, "hard_bounds": bounds, "extended_bounds": bounds });
        let body = json!({ "size": 0, "aggs": { "over": { "date_histogram": histogram } } });
        let answer = client().post(format!("{}/elastic/logs-ties/_search", server.ui)).json(&body).send().await;
        let answer: Json = answer.expect("an answer").json().await.expect("JSON");
        let buckets = answer["aggregations"]["over"]["buckets"].as_array().expect("buckets").iter();
        let counts: Vec<(i64, i64)> = buckets
            .map(|bucket| (bucket["key"].as_i64().expect("a time"), bucket["doc_count"].as_i64().expect("a number")))
            .collect();
        assert_eq!(counts, [(1_700_000_000_001, 20), (1_700_000_000_002, 20), (1_700_000_000_003, 0)]);
        server.flush().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_of_py_zipkin_are_read_back() {
    let Some(python) = tool("MANGRU_TEST_PYTHON") else { return };
    let folder = tempfile::tempdir().expect("folder");
    let server = Server::start(folder.path(), &[]);
    let trace = run(Command::new(&python).args(["tests/python/zipkin_client.py", &server.ui]));
    let spans = server.get(&format!("/api/v2/trace/{}", trace.trim()), &[]).await;
    let mut names: Vec<&str> =
        spans.as_array().expect("spans").iter().map(|span| span["name"].as_str().expect("a name")).collect();
    names.sort_unstable();
    assert_eq!(names, ["inner", "outer"]);
    let all = [("query", "service:py"), ("start", "0"), ("end", ALL_TIME_END)];
    assert_eq!(server.get("/api/v1/spans", &all).await["rows"].as_array().map(Vec::len), Some(2));
}
