//! Figures: what each database does on this machine, next to the embedded store.
//!
//! Run it as `cargo run --release -p storage-sql --example figures -- [seconds per figure]`; `tests/install` installs the
//! servers, which are started here with their disks synced. An append is a put-if-absent of about 400 bytes at the next
//! number of a log.

#![expect(clippy::print_stdout, reason = "it prints a table")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use services::{MariaDb, Postgres};
use storage::{
    backend::embedded::{Embedded, EmbeddedOptions},
    shape::{Batch, Condition, Consistency, Key, Query, Space, Table},
};
use storage_sql::{DatabaseUrl, Sql, SqlOptions};
use tokio::task::JoinSet;

type Failed = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failed> {
    let seconds = std::env::args().nth(1).map_or(Ok(5), |text| text.parse())?;
    let time = Duration::from_secs(seconds);
    let directory = tempfile::tempdir()?;
    let postgres = Postgres::start(&["fsync=on"])?;
    let mariadb = MariaDb::start(&["innodb-flush-log-at-trx-commit=1"])?;
    let sqlite = format!("sqlite://{}", directory.path().join("file").display());
    println!(
        "| store | one write after the other /s | changes by version /s | appends /s, 64 writers | pages of 50 /s | gets /s |"
    );
    println!("|---|---|---|---|---|---|");
    for (name, url) in [
        ("PostgreSQL", postgres.url()),
        ("MariaDB", mariadb.url()),
        ("SQLite", sqlite),
    ] {
        for gather in [1, 64] {
            let mut options = SqlOptions::new(DatabaseUrl::new(url.clone()));
            options.gather = gather;
            options.prefix = format!("gather{gather}_");
            let sql = Sql::open(options)?;
            sql.init().await?;
            let name = if gather == 1 {
                format!("{name}, nothing gathered")
            } else {
                name.to_owned()
            };
            figures(&name, Arc::new(sql.table()), time).await;
        }
    }
    let embedded = Embedded::open(
        directory.path().join("embedded"),
        EmbeddedOptions::default(),
    )?;
    figures("embedded", Arc::new(embedded), time).await;
    Ok(())
}

async fn figures(name: &str, table: Arc<dyn Table>, time: Duration) {
    let one = rate(table.clone(), 1, time, append).await;
    let changes = rate(table.clone(), 1, time, change).await;
    let many = rate(table.clone(), 64, time, append).await;
    let pages = rate(table.clone(), 8, time, page).await;
    let gets = rate(table, 8, time, get).await;
    println!("| {name} | {one:.0} | {changes:.0} | {many:.0} | {pages:.0} | {gets:.0} |");
}

/// How often a second so many tasks do something, one time after the other each.
async fn rate<F: Future<Output = ()> + Send + 'static>(
    table: Arc<dyn Table>,
    tasks: u64,
    time: Duration,
    once: impl Fn(Arc<dyn Table>, u64, u64) -> F + Copy + Send + 'static,
) -> f64 {
    let (count, start) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let mut all = JoinSet::new();
    for task in 0..tasks {
        let (table, count) = (table.clone(), count.clone());
        all.spawn(async move {
            let mut number = 1;
            while start.elapsed() < time {
                once(table.clone(), task + tasks * 1000, number).await;
                number += 1;
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    all.join_all().await;
    count.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64()
}

fn log(log: u64, number: u64) -> Key {
    Key {
        space: Space::Log,
        partition: Bytes::from(format!("A#user{log:06}@example.org")),
        sort: Bytes::copy_from_slice(&number.to_be_bytes()),
    }
}

async fn append(table: Arc<dyn Table>, task: u64, number: u64) {
    let value = vec![b'm'; 400];
    let batch = Batch::new().put(log(task, number), value, Condition::Absent);
    table.write(batch).await.expect("append");
}

async fn change(table: Arc<dyn Table>, task: u64, number: u64) {
    let condition = match number {
        1 => Condition::Absent,
        seen => Condition::Version(seen - 1),
    };
    let mailbox = Key {
        space: Space::Core,
        partition: Bytes::from(format!("U#user{task:06}")),
        sort: "META".into(),
    };
    let batch = Batch::new().put(mailbox, vec![b'm'; 60], condition);
    table.write(batch).await.expect("change");
}

/// The logs that 64 writers appended to.
fn appended(task: u64, number: u64) -> u64 {
    64_000 + (task + number * 7) % 64
}

async fn page(table: Arc<dyn Table>, task: u64, number: u64) {
    let query = Query {
        space: Space::Log,
        partition: log(appended(task, number), 0).partition,
        from: None,
        until: None,
        reverse: true,
        limit: 50,
        consistency: Consistency::Strong,
    };
    let page = table.query(&query).await.expect("page");
    assert!(!page.records.is_empty(), "there is something");
}

async fn get(table: Arc<dyn Table>, task: u64, number: u64) {
    let key = log(appended(task, number), 1 + number % 8);
    table.get(&key, Consistency::Strong).await.expect("get");
}
