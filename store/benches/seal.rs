//! What a row costs on its way from a decoded batch into a part: journal frame, order, Parquet, index.
//!
//! `cargo bench -p mangru-store --bench seal`. Prints rows per CPU-second and bytes per row for each step. One core is
//! used, so wall time is CPU time; compare figures of one run only.

#[path = "../tests/rows/mod.rs"]
mod rows;

use mangru_store::bench::{IndexOnly, ParquetOnly, journal_frame, seal};
use rows::{Log, logs};
use std::time::Instant;

const BATCHES: i64 = 256;
const ROWS: i64 = 1000;

fn log(number: i64) -> Log {
    let mix = (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let service = (mix >> 33) % 20;
    let body = match mix % 5 {
        0 => format!("GET /api/v1/products/{} 200 {}ms", mix % 5000, mix % 300),
        1 => format!("query took {} ms: SELECT * FROM orders WHERE customer_id = {}", mix % 900, mix % 100_000),
        2 => format!("cache miss for key session:{mix:016x}"),
        3 => format!(
            "order {} placed by user {} total {}.{:02} EUR",
            mix % 1_000_000,
            mix % 40_000,
            mix % 500,
            mix % 100
        ),
        _ => format!("retry {} of 5 for upstream payment-{} after connection reset by peer", mix % 5, mix % 9),
    };
    let attribute = |key: &str, value: String| (key.to_owned(), value);
    Log {
        time: 1_700_000_000_000_000_000 + number * 100_000,
        service: format!("service-{service}"),
        severity: if mix.is_multiple_of(50) { 17 } else { 9 },
        body,
        trace_id: (mix % 10 < 6).then(|| u128::from(mix / 8).wrapping_mul(0x0123_4567_89AB_CDEF_1357).to_be_bytes()),
        span_id: (mix % 10 < 6).then(|| mix.to_be_bytes()),
        attributes: vec![
            attribute("thread.name", format!("worker-{}", mix % 16)),
            attribute("code.function.name", format!("handle_{}", mix % 40)),
            attribute("user.id", format!("{}", mix % 40_000)),
            attribute("request.id", format!("{:032x}", u128::from(mix) << 31)),
            attribute("http.request.method", ["GET", "POST", "PUT"][(mix % 3) as usize].to_owned()),
            attribute("net.peer.port", format!("{}", mix % 65_536)),
            attribute("log.logger", format!("com.shop.service{service}.Handler")),
        ],
        ..Log::default()
    }
}

fn report(step: &str, rows: usize, started: Instant, bytes: usize) {
    let seconds = started.elapsed().as_secs_f64();
    println!(
        "{step:<14} {:>10.0} rows/s  {:>6.2} µs/row  {:>7.1} B/row",
        rows as f64 / seconds,
        seconds * 1e6 / rows as f64,
        bytes as f64 / rows as f64
    );
}

fn main() {
    let batches: Vec<_> =
        (0..BATCHES).map(|batch| logs(&(batch * ROWS..(batch + 1) * ROWS).map(log).collect::<Vec<_>>())).collect();
    let rows = (BATCHES * ROWS) as usize;
    let memory: usize = batches.iter().map(|batch| batch.rows().get_array_memory_size()).sum();
    println!("{rows} logs, {:.0} bytes of memory per row", memory as f64 / rows as f64);

    let started = Instant::now();
    let bytes: usize = batches.iter().map(journal_frame).sum();
    report("journal frame", rows, started, bytes);

    let started = Instant::now();
    let bytes = ParquetOnly::write(&batches);
    report("parquet", rows, started, bytes);

    let started = Instant::now();
    let bytes = IndexOnly::build(&batches);
    report("index", rows, started, bytes);

    let started = Instant::now();
    let bytes = seal(&batches);
    report("whole seal", rows, started, bytes);
}
