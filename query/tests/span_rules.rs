//! Rules over metrics that are computed from spans see them as queries do.

mod calls;

use calls::{CLIENT, SECOND, SERVER, START, Span, batch, store};
use mangru_query::{PromQl, PromQlRequest, PromQlValue, QueryService, QuerySettings};

#[tokio::test(flavor = "multi_thread")]
async fn rules_and_queries_see_the_same_of_spans() {
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path()).await;
    // A call each minute of nine days, one in ten fails.
    let minutes = 9 * 24 * 60;
    let spans: Vec<Span> = (0..minutes)
        .flat_map(|minute| {
            let time = START + i64::from(minute) * 60 * SECOND;
            let span = |id: u8, parent: Option<u8>, service: &str, kind: i32| Span {
                time,
                duration: SECOND / 10,
                trace: minute,
                id,
                parent,
                service: service.to_owned(),
                kind,
                is_error: minute % 10 == 0,
                ..Span::default()
            };
            [span(1, None, "web", CLIENT), span(2, Some(1), "db", SERVER)]
        })
        .collect();
    store.append(batch(&spans)).await.expect("append");
    let service = QueryService::new(store, QuerySettings::default());
    let end = START / 1_000_000 + i64::from(minutes) * 60_000;
    for query in [
        "sum by (server) (rate(traces_service_graph_request_total[5m]))",
        "sum(rate(traces_service_graph_request_failed_total[1h])) / sum(rate(traces_service_graph_request_total[1h]))",
        "sum by (service) (increase(traces_spanmetrics_calls_total{service=\"db\"}[10m]))",
    ] {
        let rule = PromQl::parse(query).expect("a query");
        let found = service.promql_at(&[(rule, end)], &[]).await.remove(0).expect("an answer");
        assert_eq!(found.len(), 1, "{query}: {found:?}");
        let asked = PromQlRequest { query: query.to_owned(), start: end, end, step: None, lookback: None };
        let PromQlValue::Vector(series) = service.promql(&asked).await.expect("an answer").value else {
            panic!("{query} gives a vector")
        };
        assert!((series[0].1[0].1 - found[0].1).abs() < 1e-12, "{query}: {} and {}", series[0].1[0].1, found[0].1);
        assert!(found[0].1 > 0.0, "{query}: {found:?}");
    }
    // Over days a rate of five minutes has a value at every step.
    let query = "sum(rate(traces_spanmetrics_calls_total{service=\"db\"}[5m]))".to_owned();
    let (start, step) = (end - 8 * 86_400_000, 3_600_000);
    let asked = PromQlRequest { query, start, end, step: Some(step), lookback: None };
    let PromQlValue::Matrix(series) = service.promql(&asked).await.expect("an answer").value else {
        panic!("a range gives a matrix")
    };
    assert_eq!(series.len(), 1);
    assert_eq!(series[0].1.len() as i64, 8 * 24 + 1, "no step is empty");
    assert!(series[0].1.iter().all(|(_, rate)| (rate - 1.0 / 60.0).abs() < 0.005), "{:?}", series[0].1);
}
