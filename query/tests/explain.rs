//! What searches read of a fixed table, as a text that a person can review.
//!
//! `MANGRU_REWRITE=1` writes the file anew instead of comparing.

mod calls;

use calls::{CLIENT, SECOND, SERVER, START, Span, batch, store};
use mangru_query::{QueryService, QuerySettings};
use mangru_store::{Signal, TimeRange};
use std::fmt::Write as _;
use std::path::Path;

/// Spans of a part; each next part is of the next hour.
const PART: usize = 6000;
const PARTS: usize = 3;

fn span(number: usize) -> Span {
    let part = (number / PART) as i64;
    Span {
        time: START + part * 3600 * SECOND + (number % PART) as i64 * SECOND / 10,
        // One is much slower than all others.
        duration: if number == 7777 { 5 * SECOND } else { (number % 100) as i64 * 1_000_000 },
        trace: (number / 6) as u32,
        id: (number % 6) as u8,
        parent: (!number.is_multiple_of(6)).then_some(0),
        service: ["web", "cart", "pay"][number % 3].to_owned(),
        kind: [SERVER, CLIENT][number % 2],
        is_error: number.is_multiple_of(50),
        attributes: vec![
            ("order.id".to_owned(), format!("ORD-{number:06}")),
            ("tier".to_owned(), ["gold", "free"][usize::from(!number.is_multiple_of(10))].to_owned()),
        ],
        ..Span::default()
    }
}

/// Searches, and the seconds from [`START`] that they are asked for.
const SEARCHES: &[(&str, i64, i64)] = &[
    ("*", 0, 100_000),
    ("*", 3700, 3800),
    ("service:pay", 0, 100_000),
    ("service:pay status:error", 0, 100_000),
    ("service:nobody", 0, 100_000),
    ("tier:gold -service:web", 3600, 7200),
    ("order.id:ORD-007123", 0, 100_000),
    ("attributes.*:ORD-007123", 0, 100_000),
    ("duration>98ms", 0, 100_000),
    ("service:pay duration>98ms", 0, 100_000),
    ("duration>2s", 0, 100_000),
    ("service:web duration>2s duration<4s", 0, 100_000),
    ("trace_id:SOME_TRACE", 0, 100_000),
    ("span_id:SOME_SPAN service:web", 0, 100_000),
    ("service:web OR tier:gold", 100, 4000),
    ("tier:/g.ld/", 0, 100_000),
];

#[tokio::test(flavor = "multi_thread")]
async fn searches_read_no_more_than_the_plans_that_were_reviewed_say() {
    let folder = tempfile::tempdir().expect("folder");
    let store = store(folder.path()).await;
    for part in 0..PARTS {
        let spans: Vec<Span> = (part * PART..(part + 1) * PART).map(span).collect();
        store.append(batch(&spans)).await.expect("append");
        store.flush().await.expect("flush");
    }
    let hot: Vec<Span> = (PARTS * PART..PARTS * PART + 500).map(span).collect();
    store.append(batch(&hot)).await.expect("append");
    let service = QueryService::new(store, QuerySettings::default());

    let mut text = String::new();
    for (search, start, end) in SEARCHES {
        let range = TimeRange { start: START + start * SECOND, end: START + end * SECOND };
        let query = search
            .replace("SOME_TRACE", &mangru_store::TraceId(calls::trace_id(1200)).to_string())
            .replace("SOME_SPAN", &mangru_store::SpanId(calls::span_id(3)).to_string());
        let plan = service.explain(Signal::Spans, &query, range).await.expect("explained");
        writeln!(text, "{search}   {start} s to {end} s").expect("text");
        writeln!(text, "  hot {} rows, left out by time {} parts", plan.hot_rows, plan.left_out_parts).expect("text");
        let mut parts = plan.parts;
        parts.sort_by(|left, right| left.path.cmp(&right.path));
        for part in parts {
            let step = |rows: Option<u64>| rows.map_or_else(|| "-".to_owned(), |rows| rows.to_string());
            write!(text, "  part {} rows, time {}", part.rows, part.after_time).expect("text");
            write!(text, ", bloom {}, index {}", step(part.after_bloom_filters), step(part.after_index)).expect("text");
            if let Some(rows) = part.after_statistics {
                write!(text, ", statistics {rows}").expect("text");
            }
            write!(text, ", read {}", part.to_read).expect("text");
            let known = if part.is_exact { " exact".to_owned() } else { format!(" by {}", part.columns.join(", ")) };
            writeln!(text, "{known}").expect("text");
        }
    }
    let file = Path::new("tests/explain/plans.txt");
    if std::env::var_os("MANGRU_REWRITE").is_some() {
        std::fs::create_dir_all("tests/explain").expect("folder");
        std::fs::write(file, &text).expect("write");
    }
    let reviewed = std::fs::read_to_string(file).expect("the reviewed plans");
    assert!(text == reviewed, "plans differ from {}:\n{text}", file.display());
}
