//! The story of a run: what nodes log, each line with the time of the world and the node whose turn it was. Its end is kept, to
//! be told of a run that breaks a promise: the next one with its seed may not.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Write};
use std::sync::LazyLock;

use starling::routing::peers::Kind;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

/// Lines that are kept, and of each so many bytes.
const LINES: usize = 150;
const LENGTH: usize = 300;
/// What is kept if nothing else is asked for.
const KEPT: &str = "starling=debug";

thread_local! {
    static NOW: Cell<(u64, usize)> = const { Cell::new((0, 0)) };
    static LAST: RefCell<VecDeque<String>> = const { RefCell::new(VecDeque::new()) };
}

/// A run begins.
pub fn begin() {
    LAST.with_borrow_mut(VecDeque::clear);
}

/// The end of what was told in this run.
pub fn last() -> String {
    LAST.with_borrow(|last| last.iter().map(String::as_str).collect())
}

fn keep(line: &str) {
    LAST.with_borrow_mut(|last| {
        if last.len() == LINES {
            last.pop_front();
        }
        let end = line.floor_char_boundary(LENGTH);
        let cut = if end < line.len() { "\n" } else { "" };
        last.push_back(format!("{}{cut}", &line[..end]));
    });
}

/// Where a line goes that a node logs.
struct Line;

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        match *PRINTS {
            true => print!("{text}"),
            false => keep(&text),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// It is so late, and this node's turn; 0: the clients'.
pub fn turn(now_ms: u64, node: usize) {
    NOW.set((now_ms, node));
}

/// What a client said or was told, shown if `STARLING_WIRES` is set.
pub fn wire(id: u64, arrow: &str, bytes: &[u8]) {
    let (ms, _) = NOW.get();
    let text = String::from_utf8_lossy(bytes);
    let line = format!("{:4}.{:03} {arrow} {id}: {text}\n", ms / 1_000, ms % 1_000);
    match *WIRES {
        true => print!("{line}"),
        false => keep(&line),
    }
}

/// Shows that a frame is sent, or has come, if `STARLING_FRAMES` is set.
pub fn frame((this, arrow, other): (usize, &str, usize), kind: Kind, body: &[u8]) {
    if *FRAMES {
        let (ms, _) = NOW.get();
        let number = body.first_chunk().map_or(0, |it| u64::from_be_bytes(*it));
        let text = String::from_utf8_lossy(body);
        let ids = text
            .split("id='k-")
            .skip(1)
            .filter_map(|it| it.split('\'').next());
        let ids: Vec<_> = ids.collect();
        let (s, ms) = (ms / 1_000, ms % 1_000);
        println!("{s:4}.{ms:03} n{this} {arrow} n{other} {kind:?} {number} {ids:?}");
    }
}

static FRAMES: LazyLock<bool> = LazyLock::new(|| std::env::var_os("STARLING_FRAMES").is_some());
static PRINTS: LazyLock<bool> = LazyLock::new(|| std::env::var_os("STARLING_LOG").is_some());
static WIRES: LazyLock<bool> = LazyLock::new(|| std::env::var_os("STARLING_WIRES").is_some());

struct Turn;

impl FormatTime for Turn {
    fn format_time(&self, to: &mut Writer<'_>) -> fmt::Result {
        let (ms, node) = NOW.get();
        write!(to, "{:4}.{:03} n{node}", ms / 1_000, ms % 1_000)
    }
}

/// Prints what the filter `STARLING_LOG` lets through, or keeps the end of the usual.
pub fn tell() {
    let filter = std::env::var("STARLING_LOG").unwrap_or_else(|_| KEPT.to_owned());
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(|| Line)
        .with_timer(Turn)
        .with_ansi(false)
        .init();
}
