//! Answers at the edges of what is asked for, hot and sealed.

#[path = "../../store/tests/rows/mod.rs"]
mod rows;

use mangru_query::{
    CountRequest, ErrorCode, FieldValuesRequest, QueryService, QuerySettings, SqlRequest, StatsRequest,
};
use mangru_store::{Signal, Store, StoreConfig, TimeRange};
use rows::{Log, logs};
use std::sync::Arc;

async fn serve(folder: &std::path::Path, all: &[Log], is_sealed: bool) -> Arc<QueryService> {
    let config = StoreConfig { data_dir: folder.to_path_buf(), ..StoreConfig::default() };
    let store = Store::open(config).await.expect("open");
    store.append(logs(all)).await.expect("append");
    if is_sealed {
        store.flush().await.expect("flush");
    }
    QueryService::new(store, QuerySettings::default())
}

fn count(query: &str) -> CountRequest {
    CountRequest { query: query.to_owned(), range: TimeRange::ALL, by: None, step: None, top: 10 }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_without_a_number_is_judged_by_its_severitys_text_everywhere() {
    let log = |time: i64| Log { time, service: "web".to_owned(), body: "it failed".to_owned(), ..Log::default() };
    let mut all: Vec<Log> = (0..5).map(|time| Log { severity_text: Some("ERROR"), ..log(time) }).collect();
    all.extend((5..8).map(|time| Log { severity: 17, ..log(time) }));
    all.extend((8..12).map(|time| Log { severity: 9, severity_text: Some("ERROR"), ..log(time) }));
    for is_sealed in [false, true] {
        let folder = tempfile::tempdir().expect("folder");
        let service = serve(folder.path(), &all, is_sealed).await;
        let range = TimeRange { start: 0, end: 100 };
        let searched = service.counts(Signal::Logs, &count("level>=error")).await.expect("counts");
        assert_eq!(searched.coverage.matched, 8);
        let request = StatsRequest {
            query: String::new(),
            range,
            field: "body".to_owned(),
            extract: None,
            by: None,
            step: None,
            top: 10,
        };
        let stats = service.stats(Signal::Logs, &request).await.expect("figures");
        assert_eq!(stats.series[0].total.errors, 8, "sealed: {is_sealed}");
        let (services, _) = service.services(range, 10).await.expect("services");
        assert_eq!((services[0].logs, services[0].error_logs), (12, 8), "sealed: {is_sealed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attribute_with_a_column_of_its_own_is_found_in_sql_by_its_key() {
    let with = |time: i64, route| Log {
        time,
        route,
        attributes: vec![("order.id".to_owned(), format!("o-{time}"))],
        ..Log::default()
    };
    let folder = tempfile::tempdir().expect("folder");
    let service = serve(folder.path(), &[with(1, Some("/cart")), with(2, None)], true).await;
    let ask = async |sql: &str| {
        let request = SqlRequest { sql: sql.to_owned(), range: TimeRange::ALL, limit: 10 };
        serde_json::to_string(&service.sql(&request).await.unwrap_or_else(|error| panic!("{sql}: {error}")).rows)
            .expect("JSON")
    };
    assert_eq!(ask("SELECT attr(attributes, 'http.route') FROM logs ORDER BY time").await, r#"[["/cart"],[null]]"#);
    assert_eq!(ask("SELECT count(*) FROM logs WHERE attr(attributes, 'http.route') = '/cart'").await, "[[1]]");
    assert_eq!(ask("SELECT attr(l.attributes, 'order.id') FROM logs l ORDER BY time").await, r#"[["o-1"],["o-2"]]"#);
    assert_eq!(
        ask("SELECT attr(l.attributes, 'http.route') FROM logs l JOIN logs m ON l.time = m.time ORDER BY l.time").await,
        r#"[["/cart"],[null]]"#
    );
    // Where the column is not at hand the map is all there is.
    assert_eq!(
        ask("SELECT attr(attributes, 'order.id') FROM (SELECT attributes FROM logs ORDER BY time LIMIT 1)").await,
        r#"[["o-1"]]"#
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_a_prefix_are_all_there_however_many_others_there_are() {
    let all: Vec<Log> = (0..130_000)
        .map(|time| Log { time, attributes: vec![("req.id".to_owned(), format!("r{time:06}"))], ..Log::default() })
        .collect();
    let folder = tempfile::tempdir().expect("folder");
    let service = serve(folder.path(), &all, true).await;
    let ask = async |prefix: &str| {
        let request = FieldValuesRequest {
            signal: Signal::Logs,
            name: "req.id".to_owned(),
            query: String::new(),
            prefix: prefix.to_owned(),
            range: TimeRange::ALL,
            limit: 10_000,
        };
        service.field_values(&request).await.expect("values")
    };
    let (values, coverage) = ask("r129").await;
    assert_eq!(values.len(), 1_000);
    assert!(coverage.complete);
    let (_, coverage) = ask("").await;
    assert!(!coverage.complete, "130,000 values are too many");
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_those_of_the_range() {
    let log = |time: i64, key: &str| Log {
        time,
        service: "web".to_owned(),
        attributes: vec![(key.to_owned(), "v".to_owned())],
        ..Log::default()
    };
    let folder = tempfile::tempdir().expect("folder");
    let service = serve(folder.path(), &[log(10, "early"), log(1_000, "late")], false).await;
    let (fields, coverage) = service.fields(Signal::Logs, TimeRange { start: 0, end: 100 }).await.expect("fields");
    assert!(fields.iter().any(|field| field.name == "early" && field.rows == 1));
    assert!(fields.iter().all(|field| field.name != "late"));
    assert_eq!((coverage.matched, coverage.matched_is_exact), (1, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_with_units_of_time_are_compared_as_durations() {
    let log =
        |time: i64, took: &str| Log { time, attributes: vec![("took".to_owned(), took.to_owned())], ..Log::default() };
    let all = [log(1, "500ms"), log(2, "2s"), log(3, "10ms"), log(4, "900us"), log(5, "long"), log(6, "+1")];
    for is_sealed in [false, true] {
        let folder = tempfile::tempdir().expect("folder");
        let service = serve(folder.path(), &all, is_sealed).await;
        let matched =
            async |query: &str| service.counts(Signal::Logs, &count(query)).await.expect("counts").coverage.matched;
        for (query, expected) in
            [("took>1s", 1), ("took>=10ms", 3), ("took<1ms", 1), ("took:\"+1\"", 1), ("took:\"1\"", 0)]
        {
            assert_eq!(matched(query).await, expected, "{query}, sealed: {is_sealed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_attributes_together_are_no_field_to_count_by() {
    let folder = tempfile::tempdir().expect("folder");
    let service = serve(folder.path(), &[Log { time: 1, ..Log::default() }], false).await;
    let request = CountRequest { by: Some("attributes.*".to_owned()), ..count("") };
    let error = service.counts(Signal::Logs, &request).await.expect_err("many values");
    assert_eq!((error.code, error.field), (ErrorCode::InvalidArgument, Some("by")));
}
