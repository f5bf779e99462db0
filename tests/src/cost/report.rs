//! The report: the same rows as a table for people and as JSON.

use std::fmt::Write as _;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::{
    cloud::{Cloud, Lag},
    node::Node,
    prices::Prices,
    row::Row,
    scenarios,
};

/// What was measured.
pub struct Report {
    /// What it is paid with.
    pub prices: Prices,
    /// How far away the services were.
    pub lag: Lag,
    /// How often each operation was done.
    pub times: u64,
    /// Without memcached.
    pub plain: Vec<Row>,
    /// With it.
    pub cached: Vec<Row>,
}

/// A row as a program reads it: all of one operation.
#[derive(Serialize)]
struct Line<'a> {
    operation: &'a str,
    memcached: bool,
    times: u64,
    requests: f64,
    requests_least: u64,
    requests_most: u64,
    core: f64,
    log: f64,
    idx: f64,
    blobs: f64,
    read_units: f64,
    write_units: f64,
    bytes_sent: f64,
    bytes_received: f64,
    retries: u64,
    cache_hits: f64,
    cache_misses: f64,
    dollars_per_million: f64,
    p50_ms: f64,
    p99_ms: f64,
    asks: Vec<String>,
}

#[derive(Serialize)]
struct Whole<'a> {
    prices: &'a Prices,
    tables_lag_ms: u128,
    objects_lag_ms: u128,
    operations: Vec<Line<'a>>,
}

const HEAD: [&str; 14] = [
    "per operation",
    "requests",
    "core",
    "log",
    "idx",
    "S3",
    "RRU",
    "WRU",
    "sent",
    "received",
    "cached",
    "$/million",
    "p50 ms",
    "p99 ms",
];

impl Report {
    /// Starts the servers and measures: first without memcached, then with.
    ///
    /// # Errors
    /// What the servers and the scenarios say.
    pub async fn measure(prices: Prices, lag: Lag, times: u64) -> Result<Self> {
        let cloud = Cloud::start(lag).await?;
        let mut both = Vec::new();
        for cached in [false, true] {
            let node = Node::start(&cloud, cached).await?;
            let rows = scenarios::run(&node, times).await;
            let unclassed = node.ledger.unclassed();
            node.stop().await;
            both.push(rows?);
            ensure!(unclassed == 0, "{unclassed} calls of no class");
        }
        let cached = both.pop().unwrap_or_default();
        let plain = both.pop().unwrap_or_default();
        Ok(Self {
            prices,
            lag,
            times,
            plain,
            cached,
        })
    }

    fn line<'a>(&self, row: &'a Row, memcached: bool) -> Line<'a> {
        let total = row.spent.total();
        let requests_to = |space| row.each(row.spent.requests_to(space) as f64);
        Line {
            operation: &row.name,
            memcached,
            times: row.times,
            requests: row.each(total.requests as f64),
            requests_least: row.requests.0.min(row.requests.1),
            requests_most: row.requests.1,
            core: requests_to("core"),
            log: requests_to("log"),
            idx: requests_to("idx"),
            blobs: requests_to("blobs"),
            read_units: row.each(total.read_units),
            write_units: row.each(total.write_units),
            bytes_sent: row.each(total.sent as f64),
            bytes_received: row.each(total.received as f64),
            retries: total.retries,
            cache_hits: row.each(row.spent.hits as f64),
            cache_misses: row.each(row.spent.misses as f64),
            dollars_per_million: row.price(&self.prices),
            p50_ms: row.latency.quantile_ms(0.5),
            p99_ms: row.latency.quantile_ms(0.99),
            asks: row.asks(),
        }
    }

    /// As JSON.
    ///
    /// # Errors
    /// None that could be thought of.
    pub fn json(&self) -> Result<String> {
        let plain = self.plain.iter().map(|row| self.line(row, false));
        let cached = self.cached.iter().map(|row| self.line(row, true));
        Ok(serde_json::to_string_pretty(&Whole {
            prices: &self.prices,
            tables_lag_ms: self.lag.tables.as_millis(),
            objects_lag_ms: self.lag.objects.as_millis(),
            operations: plain.chain(cached).collect(),
        })?)
    }

    /// As a table for people.
    #[must_use]
    pub fn table(&self, memcached: bool) -> String {
        let rows = match memcached {
            true => &self.cached,
            false => &self.plain,
        };
        let mut cells = vec![HEAD.map(str::to_owned)];
        cells.extend(
            rows.iter()
                .map(|row| self.cells(&self.line(row, memcached))),
        );
        let width = |column: usize| {
            let widths = cells.iter().map(|row| row[column].chars().count());
            widths.max().unwrap_or_default()
        };
        let widths: Vec<_> = (0..HEAD.len()).map(width).collect();
        let mut table = String::new();
        for row in &cells {
            let (first, rest) = row.split_first().expect("a row has cells");
            let _ = write!(table, "{first:<0$}", widths[0]);
            for (cell, width) in rest.iter().zip(&widths[1..]) {
                let _ = write!(table, "  {cell:>width$}");
            }
            table.push('\n');
        }
        table
    }

    fn cells(&self, line: &Line<'_>) -> [String; 14] {
        let milliseconds = |time: f64| match time {
            0.0 => "-".to_owned(),
            time => format!("{time:.1}"),
        };
        [
            line.operation.to_owned(),
            short(line.requests),
            short(line.core),
            short(line.log),
            short(line.idx),
            short(line.blobs),
            short(line.read_units),
            short(line.write_units),
            format!("{:.0}", line.bytes_sent),
            format!("{:.0}", line.bytes_received),
            short(line.cache_hits),
            format!("{:.2}", line.dollars_per_million),
            milliseconds(line.p50_ms),
            milliseconds(line.p99_ms),
        ]
    }
}

/// A number with as many digits as say something.
fn short(number: f64) -> String {
    if number == 0.0 {
        "-".to_owned()
    } else if number.fract() == 0.0 {
        format!("{number:.0}")
    } else {
        format!("{number:.2}")
    }
}
