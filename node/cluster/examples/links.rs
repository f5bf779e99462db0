//! What links cost: frames in a second, CPU for each, and the time a request takes, between two ends in this process over
//! loopback with TLS, on one thread. `cargo run --release -p cluster --example links [FRAMES]`.
//!
//! CPU is that of both ends and the kernel's part of this process.

#![expect(clippy::print_stdout, reason = "this is what it is for")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use cluster::{
    NodeId,
    link::{
        Class, Config, Declined, Event, Frame, Handler, Limits, Links, PROTOCOLS, Request, Secret,
        Tcp,
    },
};

#[derive(Default)]
struct Counter {
    frames: AtomicU64,
    up: tokio::sync::Notify,
}

#[async_trait]
impl Handler for Counter {
    fn frame(&self, _: Frame) {
        self.frames.fetch_add(1, Relaxed);
    }
    async fn request(&self, request: Request) -> Result<Bytes, Declined> {
        Ok(request.body)
    }
    fn event(&self, event: Event) {
        if let Event::Up(_) = event {
            self.up.notify_one();
        }
    }
}

async fn start(node: u64) -> Outcome<(Links, Arc<Counter>)> {
    let counter = Arc::new(Counter::default());
    let config = Config {
        node: NodeId(node),
        name: format!("node {node}"),
        cluster: "measured".to_owned(),
        listen: "127.0.0.1:0".to_owned(),
        advertised: None,
        secrets: vec![Secret::new(b"not a secret at all")?],
        facts: Bytes::new(),
        protocols: PROTOCOLS,
        limits: Limits::default(),
        network: Arc::new(Tcp),
    };
    Ok((Links::start(config, counter.clone()).await?, counter))
}

/// What may go wrong in a program like this: anything, and it ends.
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// CPU of this process so far; the kernel counts in hundredths of a second.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

fn percentiles(times: &mut [Duration]) -> (Duration, Duration) {
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

async fn stream(links: &Links, seen: &Counter, count: u64, size: usize) -> Outcome<()> {
    let body = Bytes::from(vec![7; size]);
    let (begin, cpu_before, before) = (Instant::now(), cpu(), seen.frames.load(Relaxed));
    for _ in 0..count {
        links.send(NodeId(2), Class::Data, 1, body.clone()).await?;
    }
    assert!(links.settled(Duration::from_secs(60)).await);
    assert_eq!(seen.frames.load(Relaxed) - before, count);
    let (took, cpu) = (
        begin.elapsed().as_secs_f64(),
        cpu().saturating_sub(cpu_before),
    );
    println!(
        "{count} frames of {size} bytes: {:.0} frames/s, {:.0} MB/s, {:.2} us CPU a frame, both ends",
        count as f64 / took,
        (count as f64 * size as f64) / took / 1e6,
        cpu.as_secs_f64() * 1e6 / count as f64,
    );
    Ok(())
}

async fn ask(links: &Links, count: usize, what: &str) -> Outcome<()> {
    let mut times = Vec::with_capacity(count);
    let cpu_before = cpu();
    for _ in 0..count {
        let (begin, body) = (Instant::now(), Bytes::from_static(&[7; 100]));
        links
            .request(NodeId(2), Class::Data, 1, body, Duration::from_secs(9))
            .await?;
        times.push(begin.elapsed());
    }
    let cpu = cpu().saturating_sub(cpu_before).as_secs_f64() * 1e6 / count as f64;
    let (p50, p99) = percentiles(&mut times);
    println!(
        "{count} requests, {what}: p50 {p50:.0?}, p99 {p99:.0?}, {cpu:.1} us CPU each, both ends"
    );
    Ok(())
}

async fn measure(count: u64) -> Outcome<()> {
    let ((one, counter), (two, seen)) = (start(1).await?, start(2).await?);
    one.connect(two.address());
    counter.up.notified().await;
    for size in [100, 1_000, 10_000] {
        stream(&one, &seen, count * 100 / size as u64, size).await?;
    }
    ask(&one, 5_000, "one after the other").await?;
    // Bulk is sent all the while: 1 MiB frames as fast as they go.
    let flood = async {
        loop {
            let body = Bytes::from(vec![7; 1 << 20]);
            if one.send(NodeId(2), Class::Bulk, 1, body).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = flood => {}
        asked = ask(&one, 500, "beside a bulk transfer on the same core") => asked?,
    }
    Ok(())
}

fn main() -> Outcome<()> {
    let count = std::env::args()
        .nth(1)
        .map_or(Ok(500_000), |count| count.parse())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(measure(count))
}
