//! Engine: what an append costs the embedded store, in CPU time of the whole process.
//!
//! Run it as `taskset -c 1 cargo run --release -p storage --example engine -- <directory> [seconds per row]`.
//! An append is a put-if-absent of about 400 bytes at the next number of one of 10,000 logs. The time is user and system
//! time of all threads, from `/proc/self/stat`, with the making of the batch and the waking of the appender in it.

#![expect(clippy::print_stdout, reason = "it prints a table")]

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use storage::{
    backend::embedded::{Embedded, EmbeddedOptions},
    shape::{Batch, Condition, Consistency, Key, Query, Space, Table},
};
use tokio::{sync::Notify, task::JoinSet};

const LOGS: u64 = 10_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().ok_or("which directory?")?);
    let seconds = arguments.next().map_or(Ok(5), |seconds| seconds.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    println!(
        "| appenders | way | appends/s | CPU us/append | p50 ms | p99 ms | RSS MB | disk MB | user MB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for appenders in [1, 16, 256, 1024] {
        for way in [Way::Write, Way::Submit] {
            let place = directory.join(format!("{appenders}-{way:?}"));
            let _ = std::fs::remove_dir_all(&place);
            let store = Arc::new(Embedded::open(&place, EmbeddedOptions::default())?);
            runtime.block_on(row(
                store.clone(),
                appenders,
                way,
                Duration::from_secs(seconds),
                &place,
            ));
            if appenders == 1024 && matches!(way, Way::Submit) {
                runtime.block_on(reads(&store));
            }
            drop(store);
            std::fs::remove_dir_all(&place)?;
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy)]
enum Way {
    Write,
    Submit,
}

async fn row(store: Arc<Embedded>, appenders: u64, way: Way, time: Duration, place: &Path) {
    let count = Arc::new(AtomicU64::new(0));
    let (cpu, start) = (cpu_seconds(), Instant::now());
    let mut tasks = JoinSet::new();
    for appender in 0..appenders {
        let (store, count) = (store.clone(), count.clone());
        tasks.spawn(async move {
            let mut waits = Vec::new();
            for number in 0.. {
                if start.elapsed() >= time {
                    break;
                }
                // Each appender has its own logs, and takes them in a scattered order.
                let log = (number * 7919 % (LOGS / appenders).max(1)) * appenders + appender;
                let begin = Instant::now();
                append(&store, batch(log, number), way).await;
                waits.push(u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX));
                count.fetch_add(1, Ordering::Relaxed);
            }
            waits
        });
    }
    let mut waits = tasks.join_all().await.concat();
    let (cpu, time) = (cpu_seconds() - cpu, start.elapsed().as_secs_f64());
    waits.sort_unstable();
    let quantile = |percent: usize| f64::from(waits[waits.len() * percent / 100]) / 1000.0;
    let appends = count.load(Ordering::Relaxed) as f64;
    println!(
        "| {appenders} | {way:?} | {:.0} | {:.2} | {:.2} | {:.2} | {} | {} | {:.0} |",
        appends / time,
        cpu * 1e6 / appends,
        quantile(50),
        quantile(99),
        rss_kib() >> 10,
        disk_bytes(place) >> 20,
        appends * 440.0 / f64::from(1 << 20),
    );
}

async fn append(store: &Arc<Embedded>, batch: Batch, way: Way) {
    match way {
        Way::Write => store.write(batch).await.expect("append"),
        Way::Submit => {
            let done = Arc::new(Notify::new());
            let tell = done.clone();
            let tell = Box::new(move |result: storage::Result<()>| {
                result.expect("append");
                tell.notify_one();
            });
            store.clone().submit(batch, tell);
            done.notified().await;
        }
    }
}

fn key(log: u64, number: u64) -> Key {
    Key {
        space: Space::Log,
        partition: Bytes::from(format!("A#user{log:06}.example.org")),
        sort: Bytes::copy_from_slice(&number.to_be_bytes()),
    }
}

fn batch(log: u64, number: u64) -> Batch {
    let mut value = Vec::with_capacity(400);
    value.extend_from_slice(
        b"<message xmlns='jabber:client' type='chat' to='juliet@example.org'><body>",
    );
    let mut state = log << 32 | number;
    while value.len() < 400 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        value.extend_from_slice(&state.to_le_bytes());
    }
    Batch::new().put(key(log, number), value, Condition::Absent)
}

/// What is read when a log is opened, with most of it in runs.
async fn reads(store: &Arc<Embedded>) {
    const READS: u64 = 20_000;
    for limit in [1, 20, 100] {
        let (cpu, start) = (cpu_seconds(), Instant::now());
        for read in 0..READS {
            let query = Query {
                space: Space::Log,
                partition: key(read * 7919 % LOGS, 0).partition,
                from: None,
                until: None,
                reverse: true,
                limit,
                consistency: Consistency::Strong,
            };
            store.query(&query).await.expect("query");
        }
        let each = |seconds: f64| seconds * 1e6 / READS as f64;
        println!(
            "newest {limit} of a log: {:.1} us, {:.1} us CPU",
            each(start.elapsed().as_secs_f64()),
            each(cpu_seconds() - cpu)
        );
    }
}

/// User and system time of all threads. The kernel counts it in hundredths of a second.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let after_name = stat.rsplit(')').next().expect("a name in parentheses");
    let ticks = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|ticks| ticks.parse::<u64>().expect("a number"));
    ticks.sum::<u64>() as f64 / 100.0
}

fn rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("VmRSS");
    line.split_whitespace()
        .next()
        .and_then(|number| number.parse().ok())
        .expect("a number")
}

fn disk_bytes(directory: &Path) -> u64 {
    let files = std::fs::read_dir(directory).expect("the store's directory");
    files
        .filter_map(|file| Some(file.ok()?.metadata().ok()?.len()))
        .sum()
}
